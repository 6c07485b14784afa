"""The hf backend on a random model: the pinned base says how it is asked, the trained folder gives tensors only."""

from __future__ import annotations

import itertools
import json
import pickle
import shutil
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from evaluating import is_finished, job_in, results_of, run
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from tiny_llama import save_model
from transformers import AutoModelForCausalLM

from evo.domain.item import parse_item
from evo.domain.job import EvalJob
from evo.errors import RunFailed, UsageError
from evo.evaluate.backends.hf import HfBackend, in_batches
from evo.evaluate.process import evaluate

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # in peft

ASKED = ["1+1=", "a rather long question, so that every other row is padded a lot", "é?", "12+34=", "what is 7*8?", "x"]
ROWS = [{"id": str(number), "prompt": text, "target": ""} for number, text in enumerate(ASKED)]
ITEMS = [parse_item(row) for row in ROWS]
GREEDY = {"max_new_tokens": 12, "batch_size": 4}


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return save_model(tmp_path_factory.mktemp("models") / "base", seed=1)


@pytest.fixture
def job(tmp_path, base) -> EvalJob:
    return job_in(
        tmp_path, rows=ROWS, backend="hf", model=str(base), base_model=str(base), generation=GREEDY, device="cpu"
    )


def answers(job: EvalJob, *, items=ITEMS, **generation: object) -> dict[tuple[str, int], str]:
    backend = HfBackend(replace(job, generation=job.generation | generation))
    backend.load(Path(job.model))
    return {(answer.item.id, answer.sample): answer.output for answer in backend.generate(items)}


@pytest.fixture
def trained(tmp_path, base) -> Path:
    """A copy of the base with other weights."""
    folder = Path(shutil.copytree(base, tmp_path / "trained"))
    tensors = load_file(folder / "model.safetensors")
    tensors["model.norm.weight"] *= torch.linspace(-2, 2, 32)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def test_answers_do_not_depend_on_the_batch(job):
    """§7: batched and left-padded; whatever shares a batch, the answer is that of the item alone."""
    alone = answers(job, batch_size=1)
    assert alone == answers(job, batch_size=6) == answers(job, batch_size=4)
    assert len(set(alone.values())) > 3, "a model that always says the same would hide a fault"
    assert any(len(text) > 3 for text in alone.values())


def test_nothing_but_tensors_is_taken_from_the_trained_folder(job, trained):
    """§7: the prompt is pinned; a trained output's own template, tokens, generation and config are ignored."""
    plain = replace(job, model=str(trained))
    before = answers(plain)
    assert before != answers(job), "other weights answer otherwise"
    first = next(text for text in before.values() if text)
    tokenizer = json.loads((trained / "tokenizer.json").read_text())
    tokenizer["added_tokens"][0]["content"] = first[0]
    (trained / "tokenizer.json").write_text(json.dumps(tokenizer))
    (trained / "chat_template.jinja").write_text("always the same question")
    own = {"eos_token_id": list(range(200)), "max_new_tokens": 1, "repetition_penalty": 9.0, "suppress_tokens": [5]}
    (trained / "generation_config.json").write_text(json.dumps(own))
    config = json.loads((trained / "config.json").read_text())
    config |= {"rms_norm_eps": 10.0, "eos_token_id": 5, "rope_parameters": {"rope_type": "default", "rope_theta": 2.0}}
    (trained / "config.json").write_text(json.dumps(config))
    assert answers(plain) == before


def test_an_adapter_is_laid_on_the_base(job, base, tmp_path):
    def adapter(name: str, *, is_random: bool) -> EvalJob:
        torch.manual_seed(3)
        config = LoraConfig(r=4, target_modules=["q_proj", "up_proj"], init_lora_weights=not is_random)
        get_peft_model(AutoModelForCausalLM.from_pretrained(base), config).save_pretrained(tmp_path / name)
        return replace(job, model=str(tmp_path / name))

    assert answers(adapter("fresh", is_random=False)) == answers(job)
    changed = adapter("changed", is_random=True)
    assert answers(changed) != answers(job)
    tensors = load_file(tmp_path / "changed" / "adapter_model.safetensors")
    tensors.pop(sorted(tensors)[0])
    save_file(tensors, tmp_path / "changed" / "adapter_model.safetensors")
    quiet = warnings.catch_warnings(action="ignore")  # as the evaluator's process is
    with quiet, pytest.raises(RunFailed, match="does not fit the base model"):
        answers(changed)


def test_stop_texts_end_an_answer(job):
    whole = answers(job)
    key, text = max(whole.items(), key=lambda pair: len(pair[1]))
    stop = text[2:4]
    cut = answers(job, stop=[stop, "never said"])
    assert cut[key] == text[: text.index(stop)]
    assert all(stop not in output for output in cut.values())
    assert cut == answers(job, stop=[stop], batch_size=1)


def test_the_bases_own_end_tokens_end_an_answer(job, base, tmp_path):
    """§7: end tokens come from the base's generation config, an ordinary letter among them where it says so."""
    whole = answers(job)
    letter = next(sign for text in whole.values() for sign in text[1:] if sign.isascii() and sign.isalnum())
    vocabulary = json.loads((base / "tokenizer.json").read_text())["model"]["vocab"]
    other = Path(shutil.copytree(base, tmp_path / "other"))
    config = json.loads((base / "generation_config.json").read_text())
    config["eos_token_id"] = [config["eos_token_id"], vocabulary[letter]]
    (other / "generation_config.json").write_text(json.dumps(config))
    ended = answers(replace(job, base_model=str(other)))
    assert ended == {key: text.partition(letter)[0] for key, text in whole.items()}
    assert ended != whole


def test_an_answer_is_cut_off_where_more_room_would_have_made_it_longer(job):
    def asked(**generation: object) -> dict[str, tuple[str, bool]]:
        backend = HfBackend(replace(job, generation=job.generation | generation))
        backend.load(Path(job.model))
        return {answer.item.id: (answer.output, answer.is_cut_off) for answer in backend.generate(ITEMS)}

    rooms = [asked(max_new_tokens=room) for room in (1, 3, 6, 12, 40)]
    for short, long in itertools.pairwise(rooms):
        assert {id: cut for id, (_, cut) in short.items()} == {id: long[id][0] != short[id][0] for id in short}
    known = {cut for room in rooms for _, cut in room.values()}
    assert known == {True, False}, "a model that always or never comes to an end would hide a fault"
    text = next(text for text, is_cut in rooms[2].values() if is_cut and text)
    assert not any(cut for said, cut in asked(max_new_tokens=6, stop=[text[-1]]).values() if text.startswith(said))


def test_generation_stops_where_the_stop_text_is(job):
    """Not only the text is cut: the row ends, so stop texts save time."""
    text = max(answers(job, max_new_tokens=40).values(), key=len)
    item = next(item for item in ITEMS if answers(job, items=[item], max_new_tokens=40).popitem()[1] == text)
    backend = HfBackend(replace(job, generation=job.generation | {"max_new_tokens": 40, "stop": [text[1]]}))
    backend.load(Path(job.model))
    asked = []
    backend._model.register_forward_hook(lambda *_: asked.append(1))
    list(backend.generate([item]))
    assert len(asked) < 10


def test_samples_are_drawn_with_their_seeds(job):
    drawn = answers(job, samples=3, temperature=1.0, seed=7)
    assert set(drawn) == {(item.id, sample) for item in ITEMS for sample in range(3)}
    assert drawn == answers(job, samples=3, temperature=1.0, seed=7)
    assert drawn != answers(job, samples=3, temperature=1.0, seed=8)
    assert len({drawn["0", sample] for sample in range(3)}) > 1
    alone = answers(job, samples=1, temperature=1.0, seed=8)
    assert all(drawn[item, 1] == text for (item, _), text in alone.items()), "sample k is seed + k"


def test_greedy_samples_are_the_same_answer(job):
    repeated = answers(job, samples=2)
    assert all(repeated[item.id, 0] == repeated[item.id, 1] for item in ITEMS)


def test_system_prompt_comes_first_unless_the_item_has_one(job):
    own = [parse_item({"id": row["id"], "messages": [
        {"role": "system", "content": "be brief"}, {"role": "user", "content": row["prompt"]},
        {"role": "assistant", "content": ""},
    ]}) for row in ROWS]  # fmt: skip
    prompted = answers(replace(job, system_prompt="be brief"))
    assert prompted == answers(job, items=own) == answers(replace(job, system_prompt="be long"), items=own)
    assert prompted != answers(job)


def test_a_given_template_replaces_the_base_models(job, base, tmp_path):
    template = "{% for message in messages %}{{ message.content }}{% endfor %}"
    other = replace(job, chat_template=template)
    assert answers(other) != answers(job)
    bare = save_model(tmp_path / "bare", seed=1, template=None)
    assert answers(replace(other, model=str(bare), base_model=str(bare))) == answers(other)
    with pytest.raises(UsageError, match="has no chat template") as caught:
        HfBackend(replace(job, model=str(bare), base_model=str(bare)))
    assert "--chat-template" in caught.value.hint


def test_a_pickle_is_refused_and_never_run(job, base, tmp_path):
    """§12: the evaluator loads safetensors only; a pickle in a checkpoint would run code in it."""

    class Trap:
        def __reduce__(self):
            return Path.touch, (tmp_path / "sprung",)

    folder = Path(shutil.copytree(base, tmp_path / "trained"))
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Trap()))
    trapped = replace(job, model=str(folder))
    with pytest.raises(RunFailed, match=r"only pickled weights \(pytorch_model\.bin\)"):
        evaluate(trapped)
    assert not (tmp_path / "sprung").exists()
    assert not is_finished(trapped)


def test_tensors_that_are_missing_or_of_another_shape_are_refused(job, base, trained, tmp_path):
    """§7: a tensor that is not there would be random, and the score with it; a swapped model is not the base."""
    tensors = load_file(trained / "model.safetensors")
    tensors.pop("model.layers.1.mlp.up_proj.weight")
    save_file(tensors, trained / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(RunFailed, match=r"lack 1 tensors.*up_proj"):
        answers(replace(job, model=str(trained)))
    tensors["model.layers.1.mlp.up_proj.weight"] = torch.zeros(8, 32)
    save_file(tensors, trained / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(RunFailed, match="cannot be loaded"):
        answers(replace(job, model=str(trained)))


def test_a_prompt_that_the_model_cannot_read_is_named(job):
    long = parse_item({"id": "long", "prompt": "x" * 200, "target": ""})
    with pytest.raises(RunFailed, match=r"'long'.*tokens, and the model reads 160"):
        answers(job, items=[*ITEMS, long])


def test_memory_that_runs_out_halves_the_batch():
    """§12: an evaluation that runs out of memory goes on, instead of costing six hours of training."""
    sizes = []

    def double(batch):
        sizes.append(len(batch))
        if len(batch) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return [2 * number for number in batch]

    assert list(in_batches(range(9), double, size=8)) == [2 * number for number in range(9)]
    assert sizes == [8, 4, 2, 2, 2, 2, 1]

    def never(batch):
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")

    with pytest.raises(RunFailed, match="one item alone"):
        list(in_batches(range(9), never, size=8))

    def broken(batch):
        raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        list(in_batches(range(9), broken, size=8))


def test_a_whole_evaluation_in_a_process(job, tmp_path):
    """Graded, in the order of the items, offline, quiet, with the engine's versions in its summary."""
    targets = answers(job)
    rows = [row | {"target": targets[row["id"], 0] if number % 2 else "no"} for number, row in enumerate(ROWS)]
    asked = job_in(tmp_path, rows=rows, **{key: getattr(job, key) for key in ("backend", "model", "base_model")})
    asked = replace(asked, generation=GREEDY)
    ended = run(asked)
    assert (ended.returncode, ended.stderr, ended.stdout) == (0, "", "")
    assert [(row["item"], row["score"]) for row in results_of(asked)] == [
        (row["id"], float(number % 2)) for number, row in enumerate(rows)
    ]
    summary = json.loads((Path(asked.out_dir) / "summary.json").read_text())
    assert summary["engine"].startswith("hf transformers")
    assert len(summary["weights_hash"]) == 64


ADDITION = Path(__file__).parents[2] / "workspace_template" / "addition"


@pytest.mark.slow
def test_the_shipped_model_is_mediocre_on_its_gold_items(tmp_path):
    """§7, end to end on a model with some skill: exact match between .25 and .45."""
    job = job_in(tmp_path, backend="hf", model=str(ADDITION / "model"), base_model=str(ADDITION / "model"))
    shutil.copyfile(ADDITION / "gold.jsonl", job.items)
    evaluate(replace(job, generation={"max_new_tokens": 8, "batch_size": 64}))
    scores = [row["score"] for row in results_of(job)]
    assert len(scores) == 600
    assert 0.25 < sum(scores) / len(scores) < 0.45
