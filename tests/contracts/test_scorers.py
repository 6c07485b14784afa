"""The contract of `evo.evaluate.scorers.base.Scorer`, over every member of the family, and what marks each one."""

from __future__ import annotations

import math
import re
import sys
from pathlib import Path

import pytest

from evo.domain.item import Item, parse_item
from evo.errors import EvoError, FileFormatError, MissingExtra, NotFound, UsageError
from evo.evaluate.scorers.base import CannotScore, Scorer
from evo.registry import TABLES, load

OPTIONS: dict[str, object] = {"pattern": r"answer is (.+)", "choices": ["yes", "no", "credit", "credit card"]}
TARGETS = {
    "exact": ("42", "42"),
    "json_cmd": ('{"name": "turn", "on": true}', 'Sure:\n```json\n{"on": true, "name": "turn"}\n```'),
    "regex": ("42", "the answer is 42"),
    "choice": ("Yes", "I say: YES."),
    "math": (r"\frac{1}{2}", "so the result is $0.5$"),
    "custom": ("42", "42"),
    "rules": ("42", "it is 42"),
}
ODD = [
    "",
    " \n\t",
    "é🙂\u2028\x00",
    "{" * 3000,
    "[[" * 3000,
    "NaN",
    "null",
    '{"a": NaN}',
    "\\frac{",
    "answer is",
    "yes no",
]


def item(target: str | None) -> Item:
    rules = {"rules": {"has": [re.escape(target)], "hasnt": ["else"]}} if target is not None else {}
    return parse_item({"id": "i", "prompt": "?", "target": target} | rules, needs_target=False)


def scorer(name: str, folder: Path, **options: object) -> Scorer:
    if not (folder / "scorer.py").exists():
        (folder / "scorer.py").write_text("def score(expected, actual):\n    return float(expected == actual)\n")
    built: Scorer = load("scorer", name)(OPTIONS | options, pinned_dir=folder)
    return built


@pytest.mark.parametrize("name", sorted(TABLES["scorer"]))
class TestContract:
    def test_right_is_one_and_wrong_is_zero(self, name, tmp_path):
        target, output = TARGETS[name]
        judge = scorer(name, tmp_path)
        assert judge.score(item(target), output) == 1.0
        assert judge.score(item(target), "something else") == 0.0

    def test_every_text_has_a_finite_score_that_does_not_change(self, name, tmp_path):
        judge, wanted = scorer(name, tmp_path), item(TARGETS[name][0])
        first = [judge.score(wanted, output) for output in ODD]
        again = [judge.score(wanted, output) for output in reversed(ODD)][::-1]
        assert first == again
        assert first == [scorer(name, tmp_path).score(wanted, output) for output in ODD]
        for value in first:
            assert isinstance(value, float)
            assert math.isfinite(value)
            assert 0.0 <= value <= 1.0

    def test_an_item_without_a_target_is_the_items_fault(self, name, tmp_path):
        if name == "custom":
            assert scorer(name, tmp_path).score(item(None), "") == 1.0, "a custom scorer is given an empty expectation"
            return
        with pytest.raises(CannotScore, match="has no target"):
            scorer(name, tmp_path).score(item(None), "42")


@pytest.mark.parametrize(
    ("name", "target", "output", "score"),
    [
        ("exact", " 42\n", "42 ", 1),
        ("exact", "42", "42.", 0),
        ("exact", "Yes", "yes", 0),
        ("json_cmd", '{"n": 1}', '{"n": 1.0}', 1),
        ("json_cmd", '{"n": 1}', '{"n": true}', 0),
        ("json_cmd", '{"n": 0}', '{"n": false}', 0),
        ("json_cmd", '{"n": null}', "{}", 0),
        ("json_cmd", '{"n": [1, 2]}', '{"n": [2, 1]}', 0),
        ("json_cmd", '{"n": {"m": [1]}}', 'Use {brackets}: {"n":{"m":[1.0]}}!', 1),
        ("json_cmd", '{"n": 1}', '{"n": 1} or {"n": 2}', 0),
        ("json_cmd", '{"n": 1}', '{"n": 1}\n{"n": 1}', 1),
        ("json_cmd", '{"n": 1}', '{"m": {"n": 1}}', 0),
        ("json_cmd", '[{"n": 1}]', 'calls: [{"n": 1}]', 1),
        ("json_cmd", "7", " 7.0 ", 1),
        ("json_cmd", "7", "7 or 8", 0),
        ("regex", "42", "answer is 42\nanswer is 43", 1),
        ("regex", "42", "answer: 42", 0),
        ("choice", "no", "No", 1),
        ("choice", "no", "nothing", 0),
        ("choice", "no", "no, not yes", 0),
        ("choice", "no", "no. No!", 1),
        ("choice", "credit card", "The Credit  Card", 1),
        ("choice", "credit", "credit card", 0),
        ("math", "12", "The answer is \\boxed{12}", 1),
        ("math", "$x^2+2x+1$", "$(x+1)^2$", 1),
        ("math", "12", "13", 0),
    ],
)
def test_what_each_scorer_takes_for_right(name, target, output, score, tmp_path):
    """C12: the scorers of a workspace."""
    assert scorer(name, tmp_path).score(item(target), output) == score


def test_a_pattern_without_a_group_is_the_answer_itself(tmp_path):
    judge = scorer("regex", tmp_path, pattern=r"\d+")
    assert judge.score(item("42"), "about 42 of 43") == 1.0
    assert scorer("regex", tmp_path, pattern=r"(\d+)?x").score(item("42"), "x") == 0.0


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("regex", {"pattern": ""}, "no pattern"),
        ("regex", {"pattern": "(a"}, r"eval\.pattern '\(a'"),
        ("choice", {"choices": []}, "no legal answers"),
        ("choice", {"choices": ["yes", " "]}, "empty one"),
    ],
)
def test_options_that_make_no_sense_are_refused(name, options, said, tmp_path):
    with pytest.raises(UsageError, match=said):
        scorer(name, tmp_path, **options)


@pytest.mark.parametrize(("name", "target"), [("json_cmd", "turn on"), ("choice", "maybe"), ("math", "")])
def test_a_target_that_cannot_be_right_is_the_items_fault(name, target, tmp_path):
    """§7: trouble of the evaluation is an error, never a zero."""
    with pytest.raises(CannotScore):
        scorer(name, tmp_path).score(item(target), "42")


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        ("def score(expected, actual)\n    return 1\n", FileFormatError, "scorer.py, line 1: expected ':'"),
        ("import os\nx = 1 / 0\n", FileFormatError, "scorer.py, line 2: raised ZeroDivisionError"),
        ("import sys\nsys.exit(0)\n", FileFormatError, "line 2: raised SystemExit"),
        ("x = 1\n", FileFormatError, "field score: defines no function"),
        ("def a(x, y): return 1\ndef b(x, y): return 1\n", FileFormatError, "several functions (a, b)"),
        ("\n\ndef score(expected): return 1\n", FileFormatError, "line 3, field score: takes other arguments"),
        ("def score(expected, actual, *, k): return 1\n", FileFormatError, "'k'"),
        (None, NotFound, "does not exist"),
    ],
)
def test_a_fault_in_scorer_py_is_named_by_line_and_field(text, kind, said, tmp_path):
    """C12: bad input names file, line and field."""
    if text is not None:
        (tmp_path / "scorer.py").write_text(text)
    with pytest.raises(kind) as caught:
        load("scorer", "custom")({}, pinned_dir=tmp_path)
    assert said in caught.value.message
    assert isinstance(caught.value, EvoError)


@pytest.mark.parametrize("body", ["return 1 / 0", "import sys; sys.exit(0)", "raise KeyError('x')"])
def test_a_scorer_that_raises_names_its_line(body, tmp_path):
    """§12: a failed evaluator is not replaced by a made-up number, and cannot end the process as if all were well."""
    (tmp_path / "scorer.py").write_text(f"def helper(): return 1\n\ndef score(expected, actual):\n    {body}\n")
    with pytest.raises(CannotScore, match=r"scorer\.py, line 4 raised"):
        scorer("custom", tmp_path).score(item("42"), "42")


def test_one_function_of_another_name_is_the_scorer(tmp_path):
    """C12: `scorer.py (expected, actual) -> float`; imported and private functions are not counted."""
    text = "from os.path import join\n\ndef _half(): return .5\n\ndef closeness(expected, actual): return _half()\n"
    (tmp_path / "scorer.py").write_text(text)
    assert scorer("custom", tmp_path).score(item("42"), "41") == 0.5


def test_math_without_its_extra_says_what_to_install(monkeypatch):
    """§14: a missing extra raises one error with the pip line."""
    monkeypatch.setitem(sys.modules, "math_verify", None)
    monkeypatch.delitem(sys.modules, "evo.evaluate.scorers.math", raising=False)
    with pytest.raises(MissingExtra) as caught:
        load("scorer", "math")
    assert "evo-tree[math]" in caught.value.hint
