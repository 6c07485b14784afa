"""The supervised page: what it learns from, where it starts, what it leaves. On a random model of two layers."""

from __future__ import annotations

import json
import shutil
from functools import partial

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("trl")

from paging import OWN, PARAMS, SUMS, alone, metrics_of  # noqa: E402
from peft import PeftModel  # noqa: E402
from safetensors.torch import load_file  # noqa: E402
from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: E402

from evo.domain.job import AttemptFolder  # noqa: E402
from evo.files import sha256_file, write_jsonl  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning:peft"),
]


@pytest.fixture
def train(start):
    return partial(start, "sft")


def learned(trainer) -> list[tuple[str, str]]:
    """(all that was read, the part of it that was learned) of each example."""
    tokenizer = trainer.processing_class
    return [
        (tokenizer.decode(row["input_ids"]), tokenizer.decode([label for label in row["labels"] if label != -100]))
        for row in trainer.train_dataset
    ]


def test_the_page_runs_stand_alone_as_a_process_of_its_own(base, tmp_path):
    write_jsonl(tmp_path / "rows.jsonl", SUMS)
    stated = {"params": PARAMS | OWN["sft"], "data": {"train": "../rows.jsonl"}, "base_model": str(base), "seed": 7}
    done = alone("sft", tmp_path / "out", stated)
    assert done.returncode == 0, done.stderr
    metrics = [json.loads(line) for line in (tmp_path / "out" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in metrics] == [1, 2, 3]
    assert {"loss", "learning_rate", "grad_norm", "mean_token_accuracy", "tokens", "epoch", "at"} <= set(metrics[0])
    assert metrics[0]["tokens"] < metrics[2]["tokens"]
    output = tmp_path / "out" / "output"
    assert not [path.name for path in output.iterdir() if path.suffix in (".bin", ".pt", ".pkl")], "no pickle"
    AutoModelForCausalLM.from_pretrained(output, use_safetensors=True)
    assert sha256_file(output / "model.safetensors") != sha256_file(base / "model.safetensors")
    assert (tmp_path / "out" / "artifacts.json").read_text() == "[]\n"


def test_only_the_answer_is_learned_after_the_prompt_of_the_evaluation(train, base):
    """E5: the loss mask is the assistant's tokens; C11: the system prompt stands where the evaluation puts it."""
    own = {"messages": [{"role": "system", "content": "Own."}, *chat("1+1=", "2")]}
    rows = [*SUMS[:2], {"prompt": "5+5=", "completion": "10"}, own]
    _, trainer = train("masked", rows, {"system_prompt": "Add."}, max_steps=1)
    tokenizer = AutoTokenizer.from_pretrained(base)
    asked = [{"role": "system", "content": "Add."}, {"role": "user", "content": "10+1="}]
    prompt = tokenizer.apply_chat_template(asked, add_generation_prompt=True, tokenize=False)
    found = dict(learned(trainer))
    assert found[prompt + "11<|end|>"] == "11<|end|>"
    assert found["<|system|>Add.<|end|><|user|>5+5=<|end|><|assistant|>10<|end|>"] == "10<|end|>"
    assert found["<|system|>Own.<|end|><|user|>1+1=<|end|><|assistant|>2<|end|>"] == "2<|end|>"


def chat(*contents: str) -> list[dict]:
    return [{"role": ("user", "assistant")[k % 2], "content": text} for k, text in enumerate(contents)]


def test_of_several_turns_all_answers_are_learned_where_the_template_marks_them_else_the_last(train, base):
    rows = [{"messages": chat("1+1=", "2", "2+2=", "4")}, *SUMS[:1]]
    _, marked = train("marked", rows, max_steps=1)
    assert sorted(part for _, part in learned(marked)) == ["11<|end|>", "2<|end|>4<|end|>"]
    template = AutoTokenizer.from_pretrained(base).chat_template
    plain_template = template.replace("{%- generation -%}", "").replace("{%- endgeneration -%}", "")
    _, unmarked = train("unmarked", rows, {"chat_template": plain_template}, max_steps=1)
    assert sorted(part for _, part in learned(unmarked)) == ["11<|end|>", "4<|end|>"]


def test_the_pinned_template_is_the_one_that_is_trained_on(train):
    turns = "{% for m in messages %}[{{ m.role }}]{{ m.content }}<|end|>{% endfor %}"
    pinned = turns + "{% if add_generation_prompt %}[assistant]{% endif %}"
    folder, trainer = train("pinned", facts={"chat_template": pinned}, max_steps=1)
    assert ("[user]10+1=<|end|>[assistant]11<|end|>", "11<|end|>") in learned(trainer)
    assert AutoTokenizer.from_pretrained(folder.output).chat_template == pinned


def test_a_seed_reproduces_the_weights_and_another_changes_them(train):
    runs = [train(f"seed{k}", facts={"seed": seed})[0].output for k, seed in enumerate((7, 7, 8))]
    one, again, other = (sha256_file(output / "model.safetensors") for output in runs)
    assert one == again != other


def test_an_adapter_reloads_on_its_base_and_a_child_continues_it(train, base):
    parent, _ = train("parent", method="lora")
    PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), parent.output)
    assert not (parent.output / "model.safetensors").exists()

    facts = {"seed_artifact": str(parent.output), "init_from": "parent"}
    child, trainer = train("child", facts=facts, method="lora", lora_dropout=0.1)
    kept = load_file(parent.output / "adapter_model.safetensors")
    began = {name.replace(".default", ""): value for name, value in trainer.began.items() if "lora" in name}
    assert set(began) == set(kept), "the same adapter, not one upon another"
    assert all(torch.equal(began[name], kept[name]) for name in kept)
    assert json.loads((child.output / "adapter_config.json").read_text())["lora_dropout"] == 0.1
    changed = load_file(child.output / "adapter_model.safetensors")
    assert not all(torch.equal(changed[name], kept[name]) for name in kept)


@pytest.mark.parametrize("change", [{"method": "full"}, {"method": "lora", "lora_rank": 2}])
def test_an_adapter_of_another_kind_is_merged_first_and_full_weights_come_out(train, base, change):
    """C17: never a LoRA on a LoRA."""
    parent, _ = train("parent", method="lora")
    facts = {"seed_artifact": str(parent.output), "init_from": "parent"}
    child, trainer = train("child", facts=facts, **change)
    merged = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), parent.output).merge_and_unload()
    began = {
        name.replace("base_model.model.", "").replace("base_layer.", ""): value for name, value in trainer.began.items()
    }
    for name, value in merged.named_parameters():
        assert torch.allclose(began[name], value, atol=1e-6), name
    assert not (child.output / "adapter_config.json").exists()
    ends = load_file(child.output / "model.safetensors")
    assert set(ends) == set(load_file(base / "model.safetensors"))


def test_full_weights_of_a_parent_are_the_start_and_base_starts_over(train, base):
    parent, _ = train("parent")
    facts = {"seed_artifact": str(parent.output), "init_from": "parent"}
    for name, stated, source in (("warm", facts, parent.output), ("cold", {**facts, "init_from": "base"}, base)):
        _, trainer = train(name, facts=stated)
        weights = load_file(source / "model.safetensors")
        assert all(torch.equal(trainer.began[key], value) for key, value in weights.items())
    child, _ = train("lora", facts=facts, method="lora")
    assert not (child.output / "adapter_config.json").exists(), "its base would not be the workspace's base model"


def test_the_output_is_stored_in_the_precision_of_the_base(train, base, tmp_path):
    half = tmp_path / "half"
    shutil.copytree(base, half)
    AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16).save_pretrained(half)
    folder, trainer = train("half", facts={"base_model": str(half)})
    assert {value.dtype for value in trainer.began.values()} == {torch.float32}
    assert {value.dtype for value in load_file(folder.output / "model.safetensors").values()} == {torch.bfloat16}
    assert json.loads((folder.output / "config.json").read_text())["dtype"] == "bfloat16"


def test_under_a_lora_the_base_may_be_frozen_in_half_precision_while_the_adapter_is_not(train):
    parent, fresh = train("half", method="lora", frozen_precision="bfloat16")
    facts = {"seed_artifact": str(parent.output), "init_from": "parent"}
    child, continued = train("on", facts=facts, method="lora", frozen_precision="bfloat16")
    for folder, trainer in ((parent, fresh), (child, continued)):
        kinds = {("lora_" in name, value.dtype) for name, value in trainer.began.items()}
        assert kinds == {(True, torch.float32), (False, torch.bfloat16)}
        assert {value.dtype for value in load_file(folder.output / "adapter_model.safetensors").values()} == {
            torch.float32
        }
        assert metrics_of(folder)[-1]["grad_norm"] > 0
    _, full = train("full", frozen_precision="bfloat16")
    assert {value.dtype for value in full.began.values()} == {torch.float32}, "nothing is frozen there"


def test_schedule_and_accumulation_are_what_the_parameters_say(train):
    """E4: linear warmup, then cosine down to min_learning_rate."""
    folder, trainer = train(
        "cosine", warmup=2, max_steps=8, min_learning_rate=1e-3, gradient_accumulation=2, batch_size=2
    )
    rates = [line["learning_rate"] for line in metrics_of(folder)]
    assert rates[:3] == pytest.approx([0, 5e-3, 1e-2])
    assert rates[2:] == sorted(rates[2:], reverse=True)
    assert rates[-1] > 1e-3
    assert trainer.lr_scheduler.get_last_lr()[0] == pytest.approx(1e-3)
    assert metrics_of(folder)[-1]["epoch"] == pytest.approx(1.0), "8 steps of 2 × 2 rows are the 32 rows"
    flat, _ = train("flat", scheduler="constant", warmup=1)
    assert [line["learning_rate"] for line in metrics_of(flat)] == pytest.approx([0, 1e-2, 1e-2])


def test_a_run_that_diverges_ends_with_the_step_and_a_null_in_its_curve(train, tmp_path):
    with pytest.raises(RuntimeError, match=r"the loss is nan at step \d: lower learning_rate"):
        train("diverged", learning_rate=1e30)
    assert metrics_of(AttemptFolder(tmp_path / "diverged"))[-1]["loss"] is None
    assert not (tmp_path / "diverged" / "artifacts.json").exists()


@pytest.mark.parametrize(("facts", "says"), [({"base_model": None}, "has no base model")])
def test_what_cannot_start_says_why(train, facts, says):
    with pytest.raises(SystemExit, match=says):
        train("refused", facts=facts)
