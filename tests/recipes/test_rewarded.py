"""The pages that learn from rewards: whole groups, every term logged, what is drawn is what is learned."""

from __future__ import annotations

import json
import math
import subprocess

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("trl")

from paging import ROOT, SUMS, environment, lay_down, load_page, metrics_of  # noqa: E402
from peft import PeftModel  # noqa: E402
from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: E402

from evo.errors import RunFailed  # noqa: E402
from evo.files import sha256_file  # noqa: E402
from evo.recipe import Run, rewards, sampling  # noqa: E402
from evo.runner.launcher import page_argv  # noqa: E402

GROUPED = ("grpo", "rloo")
PAGES = (*GROUPED, "rft")
LETTERS = "def reward(expected, actual):\n    return sum(map(str.isalpha, actual)) / (len(actual) + 1)\n"
ANY, NONE = {"name": "any", "format": "(?s).*"}, {"name": "none", "format": "never so"}

pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


@pytest.fixture
def letters(tmp_path) -> dict:
    """A reward that a random model earns something of: the share of letters."""
    (tmp_path / "reward.py").write_text(LETTERS)
    return {"name": "letters", "file": str(tmp_path / "reward.py")}


def weights(folder) -> str:
    (file,) = folder.output.glob("*.safetensors")
    return sha256_file(file)


@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize("recipe", PAGES)
def test_a_page_moves_the_weights_and_logs_each_reward_apart(start, base, letters, recipe, method):
    """A24, A26: reward mean and spread, each term, lengths; A28: terms are not folded into one another."""
    terms = [{**letters, "weight": 2.0}, {"name": "brief", "max_length": 2, "weight": 0.5}]
    folder, _ = start(recipe, "one", facts={"rewards": terms}, method=method, min_reward=-1.0)
    lines = metrics_of(folder)
    rewarded = [line for line in lines if "reward" in line]
    steps = [0, 2] if recipe == "rft" else [1, 2, 3]
    assert [line["step"] for line in rewarded] == steps
    for line in rewarded:
        assert {
            "reward",
            "reward_std",
            "rewards/letters",
            "rewards/brief",
            "completion_length",
            "truncated",
            "at",
        } <= set(line)
        assert line["reward"] == pytest.approx(2.0 * line["rewards/letters"] + 0.5 * line["rewards/brief"], abs=1e-6)
        assert line["rewards/brief"] < 0 < line["reward_std"]
        assert 1 <= line["completion_length"] <= 40
        assert 0 <= line["truncated"] <= 1
    learned = [line for line in lines if "loss" in line]
    assert {"loss", "learning_rate", "grad_norm", "epoch", "tokens", "entropy"} <= set(learned[0])
    assert all(math.isfinite(value) for line in lines for name, value in line.items() if name != "at")
    assert not [path for path in folder.output.iterdir() if path.suffix in (".bin", ".pt", ".pth", ".pkl")], "no pickle"
    if method == "lora":
        PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), folder.output)
    else:
        AutoModelForCausalLM.from_pretrained(folder.output, use_safetensors=True)
        assert weights(folder) != sha256_file(base / "model.safetensors")


@pytest.mark.parametrize("recipe", PAGES)
@pytest.mark.parametrize(("term", "value"), [(ANY, 1.0), (NONE, 0.0)])
def test_a_reward_that_is_always_the_same_shows_in_the_metrics(start, tmp_path, recipe, term, value):
    """A5, A28: saturated at 0 or at 1, with no spread to learn from."""
    facts = {"rewards": [term]}
    if recipe == "rft" and value == 0:
        with pytest.raises(
            SystemExit, match=r"none of 32 answers ended and is worth min_reward 0\.5; the best has 0\.0"
        ):
            start(recipe, "flat", facts=facts)
        lines = [json.loads(line) for line in (tmp_path / "flat" / "metrics.jsonl").read_text().splitlines()]
    else:
        lines = [line for line in metrics_of(start(recipe, "flat", facts=facts)[0]) if "reward" in line]
    assert lines
    assert {(line["reward"], line["reward_std"]) for line in lines} == {(value, 0.0)}


@pytest.mark.parametrize("recipe", PAGES)
def test_prompts_are_those_of_evaluation_and_answers_are_rewarded_by_their_own_row(start, monkeypatch, recipe):
    """C11: pinned system prompt; A30: what is asked in training is what is asked in evaluation."""
    seen: list[rewards.Asked] = []
    monkeypatch.setattr(rewards, "_of_format", lambda _: lambda asked: seen.extend(asked) or [1.0] * len(asked))
    facts = {"rewards": [ANY], "system_prompt": "Add."}
    _, trainer = start(recipe, "asked", facts=facts)
    for one in seen:
        wanted = [{"role": "system", "content": "Add."}, {"role": "user", "content": SUMS[one.row]["prompt"]}]
        assert one.prompt == wanted
    assert len({one.row for one in seen}) > 1
    if recipe in GROUPED:
        row = trainer.train_dataset[5]
        assert (row["row"], row["target"], row["prompt"][1]["content"]) == (5, "16", "15+1=")


# --- groups ---


@pytest.mark.parametrize("recipe", GROUPED)
@pytest.mark.parametrize("rows", [SUMS, SUMS[:1]])
def test_a_step_sees_all_answers_to_a_prompt_or_none(start, monkeypatch, recipe, rows):
    """A30: RL groups are intact, also where there are fewer prompts than a step has groups."""
    calls: list[list[int]] = []
    plain_call = rewards.Term.__call__

    def noted(self, *, row, **columns):
        calls.append(list(row))
        return plain_call(self, row=row, **columns)

    monkeypatch.setattr(rewards.Term, "__call__", noted)
    start(recipe, "whole", rows, {"rewards": [ANY]}, batch_size=4, gradient_accumulation=2, group_size=4)
    assert [len(rows) for rows in calls] == [8] * 3, "a step's answers are rewarded together"
    for numbers in calls:
        groups = [numbers[k : k + 4] for k in range(0, 8, 4)]
        assert all(len(set(group)) == 1 for group in groups), numbers


@pytest.mark.parametrize("recipe", GROUPED)
def test_a_batch_that_would_cut_groups_apart_is_refused_before_it_starts(start, recipe):
    says = r"batch_size 6 on 1 process\(es\), gradient_accumulation 3 would cut groups of 4 apart: .* a multiple of 2"
    with pytest.raises(SystemExit, match=says):
        start(recipe, "cut", facts={"rewards": [ANY]}, batch_size=6, gradient_accumulation=3, group_size=4)


@pytest.mark.parametrize("recipe", GROUPED)
def test_a_vllm_server_is_refused_where_there_is_no_gpu(start, recipe):
    with pytest.raises(SystemExit, match=r"vllm_server needs a CUDA GPU .*; without it transformers draws the answers"):
        start(recipe, "served", facts={"rewards": [ANY]}, vllm_server="http://127.0.0.1:8000")


@pytest.mark.parametrize("recipe", PAGES)
def test_a_trial_run_takes_ten_rows_and_a_few_steps(start, recipe):
    """A5."""
    facts = {"rewards": [ANY], "is_smoke": True}
    folder, trainer = start(recipe, "trial", facts=facts, gradient_accumulation=16, epochs=50, steps_per_round=50)
    assert trainer.state.global_step == 4
    if recipe == "rft":
        rows = {answer["row"] for path in (folder.root / "rounds").iterdir() for answer in map(json.loads, path.open())}
        assert rows <= set(range(10))
        assert len(list((folder.root / "rounds").iterdir())) == 2, "the second draws from what the first has taught"
    else:
        assert max(trainer.train_dataset["row"]) == 9
        assert trainer.args.gradient_accumulation_steps == 1


@pytest.mark.parametrize("recipe", GROUPED)
@pytest.mark.parametrize("child", [{"method": "full"}, {"method": "lora"}, {"method": "lora", "lora_rank": 2}])
def test_the_kl_term_holds_to_the_weights_that_the_run_starts_from(start, letters, recipe, child):
    """C17: also where the start is a parent's adapter, continued or merged first."""
    facts = {"rewards": [letters]}
    parent, _ = start("sft", "parent", method="lora", learning_rate=0.1)
    warm = {**facts, "seed_artifact": str(parent.output), "init_from": "parent"}
    folder, _ = start(recipe, "child", facts=warm, beta=0.1, learning_rate=0.1, **child)
    distances = [line["kl"] for line in metrics_of(folder)]
    assert distances[0] == pytest.approx(0, abs=1e-6)
    assert abs(distances[-1]) > 1e-4, "it moves away"


@pytest.mark.parametrize("recipe", PAGES)
def test_a_reward_that_breaks_ends_the_run_with_its_name_and_row(start, tmp_path, recipe):
    (tmp_path / "reward.py").write_text("def reward(expected, actual):\n    return float('nan')\n")
    with pytest.raises(RunFailed, match=r"the reward mine gave nan for train row \d+"):
        start(recipe, "broken", facts={"rewards": [{"name": "mine", "file": str(tmp_path / "reward.py")}]})


@pytest.mark.parametrize("recipe", PAGES)
def test_a_second_start_ends_where_one_start_would_have(start, letters, monkeypatch, recipe):
    """A6, E6: cut off in the middle, the run goes on at its step, with the same answers, to the same weights."""
    facts = {"rewards": [letters], "mid": {"every": 1, "patience": 2, "items": 0}}
    options = {"max_steps": 0 if recipe == "rft" else 4, "min_reward": 0.1}
    monkeypatch.setattr(Run, "mid_eval", lambda *_, **__: None)
    straight, _ = start(recipe, "straight", facts=facts, **options)

    class Cut(Exception):
        pass

    log = Run.log

    def cut(self, *, step, **values):
        log(self, step=step, **values)
        if step == 3:
            raise Cut

    monkeypatch.setattr(Run, "log", cut)
    with pytest.raises(Cut):
        start(recipe, "cut", facts=facts, **options)
    began = []
    monkeypatch.setattr(
        Run, "log", lambda self, *, step, **values: began.append(step) or log(self, step=step, **values)
    )
    resumed, _ = start(recipe, "cut", facts=facts, **options)
    assert min(began) == 3, "the second start goes on at its step, and draws nothing again"
    assert weights(resumed) == weights(straight)
    if recipe == "rft":
        files = [sorted((folder.root / "rounds").iterdir()) for folder in (straight, resumed)]
        assert [[path.name for path in each] for each in files] == [["000000.jsonl", "000002.jsonl"]] * 2
        assert [path.read_bytes() for path in files[0]] == [path.read_bytes() for path in files[1]]


# --- drawing and keeping ---


def drawn(row: int, text: str, reward: float, *, has_ended: bool = True) -> sampling.Drawn:
    return sampling.Drawn(row, [1], [2], text, has_ended, reward)


def test_survivors_are_the_best_different_answers_that_ended():
    page = load_page("rft")
    answers = [
        drawn(1, "b", 0.5), drawn(0, "a", 1.0), drawn(0, "a", 1.0), drawn(0, "c", 0.6), drawn(0, "d", 0.9),
        drawn(0, "e", 0.4), drawn(0, "f", 2.0, has_ended=False), drawn(2, "g", 0.4),
    ]  # fmt: skip
    kept = page.survivors(answers, keep=2, min_reward=0.5)
    assert [(one.row, one.text) for one in kept] == [(0, "a"), (0, "d"), (1, "b")]
    assert page.survivors(answers, keep=9, min_reward=3.0) == []


def test_what_is_learned_are_the_tokens_that_were_drawn_and_no_others(start, letters, base):
    """A30, E5: the loss is on the answer alone."""
    folder, trainer = start("rft", "learned", facts={"rewards": [letters]}, min_reward=0.1)
    tokenizer = AutoTokenizer.from_pretrained(base)
    rounds = [[json.loads(line) for line in path.open()] for path in sorted((folder.root / "rounds").iterdir())]
    assert [len(answers) for answers in rounds] == [8 * 4, 8 * 4]
    last = {tuple(one["prompt"] + one["answer"]): one for one in rounds[-1]}
    batch = trainer.data_collator([{"slot": slot} for slot in range(16)])
    for ids, labels in zip(batch["input_ids"], batch["labels"], strict=True):
        one = last[tuple(token for token in ids.tolist() if token != tokenizer.pad_token_id)]
        assert labels[labels != -100].tolist() == one["answer"]
        assert one["has_ended"]
        assert one["answer"][-1] == tokenizer.eos_token_id
        assert one["reward"] >= 0.1
        asked = [{"role": "user", "content": SUMS[one["row"]]["prompt"]}]
        assert one["prompt"] == tokenizer.apply_chat_template(asked, add_generation_prompt=True)["input_ids"]


def test_a_later_round_without_survivors_ends_the_run_with_what_was_learned(start, letters, monkeypatch):
    page_rounds = []
    score = rewards.Term.of

    def fading(self, asked):
        page_rounds.append(len(asked))
        return score(self, asked) if len(page_rounds) == 1 else [0.0] * len(asked)

    monkeypatch.setattr(rewards.Term, "of", fading)
    folder, trainer = start("rft", "faded", facts={"rewards": [letters]}, min_reward=0.1, epochs=5)
    assert trainer.state.global_step == 3, "one step into the round that has nothing to teach"
    assert [line["kept"] > 0 for line in metrics_of(folder) if "kept" in line] == [True, False]
    AutoModelForCausalLM.from_pretrained(folder.output)


def test_an_answer_does_not_depend_on_what_shares_its_batch_and_no_generator_is_moved(base):
    """Prompts of different lengths are padded on the left; near zero temperature the answers are the likeliest ones."""
    model, tokenizer = AutoModelForCausalLM.from_pretrained(base), AutoTokenizer.from_pretrained(base)
    model.train()
    prompts = [(row, [{"role": "user", "content": "1" * length}]) for row, length in enumerate((1, 9, 4, 17, 2))]
    how = sampling.Drawing(samples=2, max_new_tokens=8, temperature=1e-4, top_p=1.0, batch_size=1, seed=3)
    before = torch.get_rng_state()
    one_by_one = sampling.draw(model, tokenizer, prompts, how)
    together = sampling.draw(model, tokenizer, prompts, sampling.Drawing(**{**vars(how), "batch_size": 7}))
    assert together == one_by_one
    assert [answer.row for answer in together] == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert torch.equal(before, torch.get_rng_state())
    assert model.training
    asked = tokenizer.apply_chat_template(prompts[1][1], add_generation_prompt=True, return_tensors="pt")
    greedy = model.eval().generate(**asked, max_new_tokens=8, do_sample=False)[0, asked["input_ids"].shape[1] :]
    assert together[2].answer == greedy.tolist()
    hot = sampling.Drawing(**{**vars(how), "temperature": 1.0})
    assert sampling.draw(model, tokenizer, prompts, hot) == sampling.draw(model, tokenizer, prompts, hot)


# --- several processes ---


@pytest.mark.slow
@pytest.mark.parametrize("recipe", PAGES)
def test_two_processes_share_groups_and_rounds_and_one_of_them_writes(base, tmp_path, letters, recipe):
    """Two ranks on a CPU: both answer for a group of four, a round's prompts are dealt out, a step is logged once."""
    options = {"batch_size": 2, "group_size": 4, "epochs": 2, "max_steps": 0 if recipe == "rft" else 3}
    folder = lay_down(tmp_path / "two", recipe, base, None, {"rewards": [letters]}, min_reward=0.1, **options)
    argv = page_argv(str(ROOT / "recipes" / recipe / "train.py"), "torchrun", processes=2)
    done = subprocess.run(argv, env=environment(folder), capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    lines = metrics_of(folder)
    assert [line["step"] for line in lines if "loss" in line] == ([1, 2, 3, 4] if recipe == "rft" else [1, 2, 3])
    assert weights(folder) != sha256_file(base / "model.safetensors")
    if recipe == "rft":
        assert [line["step"] for line in lines if "reward" in line] == [0, 2]
        for path in (folder.root / "rounds").iterdir():
            rows = [json.loads(line)["row"] for line in path.open()]
            assert len(rows) == 8 * 4
            assert all(rows.count(row) == 4 for row in rows)
