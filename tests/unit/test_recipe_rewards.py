"""Rewards: a model is trained on exactly what it is measured by; every term is named, and no number is made up."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from tiny_llama import save_tokenizer  # noqa: E402
from transformers import LlamaConfig, LlamaForSequenceClassification  # noqa: E402

from evo.domain.item import parse_item  # noqa: E402
from evo.domain.job import EvalJob, ScorerFacts  # noqa: E402
from evo.errors import EvoError, FileFormatError, NotFound, RunFailed, UsageError  # noqa: E402
from evo.evaluate.grading import Grader, build_scorer  # noqa: E402
from evo.files import sha256_file, write_json, write_jsonl  # noqa: E402
from evo.recipe import Run, current, rewards  # noqa: E402
from evo.validation import plain  # noqa: E402

ROWS = [
    {"prompt": "2+2=", "target": "4"},
    {"messages": [{"role": "user", "content": "3+3="}, {"role": "assistant", "content": "6"}]},
    {"prompt": "5+5=", "completion": "10"},
]
OUTPUTS = ["4", " 4 ", "five", "", "the answer is 4", "4 or not", "I give up", "4\nQ: next", "6", "10"]


def stated(tmp_path: Path, *terms: dict, scorer: ScorerFacts | dict | None = None, rows: list[dict] = ROWS) -> Run:
    """The run of a page that is started by hand."""
    write_jsonl(tmp_path / "rows.jsonl", rows)
    facts = {"params": {}, "data": {"train": "rows.jsonl"}, "rewards": list(terms)}
    if scorer is not None:
        facts["scorer"] = scorer if isinstance(scorer, dict) else plain(scorer)
    write_json(tmp_path / "try.json", facts)
    return current(["--params", str(tmp_path / "try.json"), "--out", str(tmp_path / "out")])


def asked(term: rewards.Term, row: int, *answers: str) -> list[float]:
    """As TRL calls a reward function: columns by name, and more of them than it needs."""
    chat = [[{"role": "assistant", "content": answer}] for answer in answers]
    prompts, ids = [[{"role": "user", "content": "?"}]] * len(answers), [[1]] * len(answers)
    return term(prompts=prompts, completions=chat, completion_ids=ids, row=[row] * len(answers), trainer_state=0)


def one(tmp_path: Path, term: dict, **options: object) -> rewards.Term:
    (made,) = rewards.functions(stated(tmp_path, {"name": "term", **term}, **options))
    return made


CUSTOM = "def score(expected, actual):\n    return abs(len(actual) - len(expected)) / 100\n"
MEASURES = {
    "exact": ScorerFacts("exact", {}, ""),
    "regex and forbidden": ScorerFacts("regex", {"pattern": r"answer is (\d+)"}, "", forbidden=["give up"]),
    "choice": ScorerFacts("choice", {"choices": ["4", "6", "10"]}, ""),
    "choice of the targets": ScorerFacts("choice", {}, ""),
    "custom, less is better": ScorerFacts(
        "custom", {}, "pinned", forbidden=["give up"], worst=1.0, direction="min", pins={}
    ),
    "open range": ScorerFacts("custom", {}, "pinned", low=None, high=None, worst=None),
}


@pytest.mark.parametrize("name", MEASURES)
def test_the_workspaces_measure_rewards_as_evaluation_grades(name, tmp_path):
    """A28, A30: reward and score of one output are one number, by one grader; forbidden outputs are worst in both."""
    (tmp_path / "pinned").mkdir()
    (tmp_path / "pinned" / "scorer.py").write_text(CUSTOM)
    facts = MEASURES[name]
    if facts.pins is not None:
        facts = ScorerFacts(**{**plain(facts), "pins": {"scorer.py": sha256_file(tmp_path / "pinned" / "scorer.py")}})
    term = one(tmp_path, {"scorer": "workspace"}, scorer=facts)
    items = [parse_item(row) for row in [*ROWS[:2], {"prompt": "5+5=", "target": "10"}]]
    job = EvalJob(
        split="dev", eval_hash="", backend="hf", items="", model="", base_model=None, out_dir="",
        pinned_dir=str(tmp_path / facts.pinned_dir), scorer=facts.name, scorer_options=facts.options,
        forbidden=facts.forbidden, worst=facts.worst, low=facts.low, high=facts.high,
    )  # fmt: skip
    grader = Grader(job, items, scorer=build_scorer(job, items))
    sign = -1 if facts.direction == "min" else 1
    seen = set()
    for row, item in enumerate(items):
        graded = [sign * grader.grade(item, 0, output).score for output in OUTPUTS]
        assert asked(term, row, *OUTPUTS) == graded
        seen |= set(graded)
    assert len(seen) > 1
    if facts.forbidden:
        assert asked(term, 0, "I give up", "the answer is 4")[0] == min(seen)


def test_an_answer_ends_at_its_stop_text_as_it_does_in_evaluation(tmp_path):
    term = one(tmp_path, {"scorer": "workspace"}, scorer=ScorerFacts("exact", {}, "", stop=["\nQ:"]))
    assert asked(term, 0, "4\nQ: next", "4", "4 Q") == [1.0, 1.0, 0.0]


def test_a_scorer_that_is_not_what_was_pinned_rewards_nothing(tmp_path):
    """A3: the grader of a workspace is pinned, for rewards too."""
    (tmp_path / "scorer.py").write_text("def score(expected, actual):\n    return 1.0\n")
    facts = ScorerFacts("custom", {}, ".", pins={"scorer.py": "0" * 64})
    with pytest.raises(RunFailed, match="is not what was pinned"):
        one(tmp_path, {"scorer": "workspace"}, scorer=facts)


def test_a_built_in_scorer_is_named_and_takes_the_workspaces_options(tmp_path):
    facts = ScorerFacts("exact", {"pattern": r"= (\d+)"}, "", forbidden=["="])
    term = one(tmp_path, {"scorer": "regex"}, scorer=facts)
    assert asked(term, 0, "= 4", "4") == [1.0, 0.0]
    assert asked(one(tmp_path, {"scorer": "exact"}), 1, "6", "7") == [1.0, 0.0]
    with pytest.raises(NotFound, match="no scorer named 'exakt'"):
        one(tmp_path, {"scorer": "exakt"})
    with pytest.raises(NotFound, match="has no scorer: a command gives its scores"):
        one(tmp_path, {"scorer": "workspace"})


def test_a_file_of_the_recipe_rewards_by_expected_and_actual(tmp_path):
    (tmp_path / "reward.py").write_text("def reward(expected, actual):\n    return -abs(int(expected) - int(actual))\n")
    term = one(tmp_path, {"file": "reward.py"})
    assert [asked(term, row, "7") for row in range(3)] == [[-3.0], [-1.0], [-3.0]]
    assert not (tmp_path / "__pycache__").exists()
    with pytest.raises(RunFailed, match=r"reward\.py, line 2 raised ValueError for train row 2: invalid literal"):
        asked(term, 1, "six")
    for text, says in (("x = 1\n", "defines no function `reward`"), ("def reward(:\n", r"line 1: invalid syntax")):
        (tmp_path / "reward.py").write_text(text)
        with pytest.raises(FileFormatError, match=says):
            one(tmp_path, {"file": "reward.py"})
    with pytest.raises(NotFound, match=r"absent\.py does not exist"):
        one(tmp_path, {"file": "absent.py"})


def test_format_and_length_are_terms(tmp_path):
    term = one(tmp_path, {"format": r"\d+"})
    assert asked(term, 0, "42", "42.", "x42", "") == [1.0, 0.0, 0.0, 0.0]
    with pytest.raises(UsageError, match="no regular expression"):
        one(tmp_path, {"format": "("})
    term = one(tmp_path, {"max_length": 10})
    assert asked(term, 0, "", "x" * 10, "x" * 15, "x" * 20, "x" * 99) == [0, 0, -0.5, -1, -1]


@pytest.mark.parametrize("with_template", [True, False])
def test_a_reward_model_gives_its_first_logit_whatever_shares_the_batch(with_template, tmp_path):
    folder = tmp_path / "judge"
    template = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}" if with_template else None
    size = save_tokenizer(folder, template=template)
    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=size, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=64, num_labels=2, bos_token_id=None, eos_token_id=size - 5, initializer_range=0.5,
    )  # fmt: skip
    model = LlamaForSequenceClassification(config)
    model.save_pretrained(folder)
    term = one(tmp_path, {"model": "judge"})
    together = asked(term, 0, "4", "a much longer answer", "")
    assert together == pytest.approx([asked(term, 0, text)[0] for text in ("4", "a much longer answer", "")], abs=1e-5)
    text = "<|user|>?<|assistant|>4" if with_template else "?\n4"
    ids = term._reward._tokenizer(text, return_tensors="pt", add_special_tokens=False)
    model.config.pad_token_id = size - 4
    assert together[0] == pytest.approx(model.eval()(**ids).logits[0, 0].item(), abs=1e-5)
    assert len({round(value, 4) for value in together}) == 3
    with pytest.raises(NotFound, match="is no folder"):
        one(tmp_path, {"model": "absent"})


@pytest.mark.parametrize("value", ["float('nan')", "float('inf')", "None", "True", "'1'"])
def test_what_is_no_finite_number_is_an_error_that_names_reward_and_row(value, tmp_path):
    (tmp_path / "reward.py").write_text(f"def reward(expected, actual):\n    return {value}\n")
    with pytest.raises(RunFailed, match=r"the reward term gave .+ for train row 3, where a finite number is wanted"):
        asked(one(tmp_path, {"file": "reward.py"}), 2, "x")


def test_a_custom_scorers_nan_is_an_error_too(tmp_path):
    (tmp_path / "scorer.py").write_text("import math\ndef score(expected, actual):\n    return math.nan\n")
    term = one(tmp_path, {"scorer": "workspace"}, scorer=ScorerFacts("custom", {}, "."))
    with pytest.raises(EvoError, match="train item in line 2"):
        asked(term, 1, "x")


def test_terms_are_weighted_and_kept_apart(tmp_path):
    terms = rewards.functions(
        stated(tmp_path, {"name": "right", "scorer": "exact"}, {"name": "short", "max_length": 1, "weight": 0.5})
    )
    assert [(term.__name__, term.weight) for term in terms] == [("right", 1.0), ("short", 0.5)]
    columns = {"prompts": ["?"] * 3, "completions": ["4", "44", "no"], "row": [0, 0, 0]}
    assert [term(**columns) for term in terms] == [[1, 0, 0], [0, -1, -1]]
    assert [term.of([rewards.Asked(0, [], text) for text in ("4", "44", "no")]) for term in terms] == [
        [1, 0, 0], [0, -1, -1],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("terms", "says"),
    [
        ([], "names no rewards"),
        ([{"name": "a"}], "the reward a is of no kind"),
        ([{"name": "a", "scorer": "exact", "format": "x"}], r"is of 2 kinds \(scorer, format\)"),
        ([{"name": "a", "format": "x"}, {"name": "a", "max_length": 3}], "two rewards have one name"),
    ],
)
def test_terms_that_make_no_sense_are_refused(terms, says, tmp_path):
    with pytest.raises(UsageError, match=says):
        rewards.functions(stated(tmp_path, *terms))


def test_a_row_without_an_answer_cannot_be_rewarded_by_a_scorer_and_is_named(tmp_path):
    rows = [ROWS[0], {"prompt": "why?"}]
    with pytest.raises(RunFailed, match="train item in line 2 cannot be rewarded: target is missing"):
        one(tmp_path, {"scorer": "exact"}, rows=rows)
    assert asked(one(tmp_path, {"format": "x"}, rows=rows), 1, "x") == [1.0], "other terms need none"


def test_prompts_are_what_evaluation_asks(tmp_path):
    """C11: one system prompt; a row's own stands."""
    own = {"messages": [{"role": "system", "content": "Own."}, *ROWS[1]["messages"]]}
    assert rewards.prompt_of(ROWS[1], "Add.") == [
        {"role": "system", "content": "Add."}, {"role": "user", "content": "3+3="}
    ]  # fmt: skip
    assert rewards.prompt_of(own, "Add.") == own["messages"][:-1]
    assert rewards.prompt_of(ROWS[0]) == [{"role": "user", "content": "2+2="}]
    assert [rewards.target_of(row) for row in [*ROWS, {"prompt": "why?"}]] == ["4", "6", "10", ""]
