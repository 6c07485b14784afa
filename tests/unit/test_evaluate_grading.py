"""Grading: a result is a finite number in the metric's range, or the evaluation ends with the item named."""

from __future__ import annotations

import io

import pytest
from evaluating import ROWS, job_in

from evo.domain.item import parse_item
from evo.errors import UsageError
from evo.evaluate.grading import Grader, InvalidResults, build_scorer
from evo.evaluate.progress import with_progress

ITEMS = [parse_item(row) for row in ROWS]


def grader_of(job):
    return Grader(job, ITEMS, scorer=build_scorer(job, ITEMS))


def custom(folder, body, **changes):
    job = job_in(folder, scorer="custom", **changes)
    (folder / "pinned" / "scorer.py").write_text(f"def score(expected, actual):\n    {body}\n")
    return grader_of(job)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return float('nan')", "finite"),
        ("return float('inf')", "finite"),
        ("return True", "must be a number"),
        ("return '0.5'", "must be a number"),
        ("return None", "must be a number"),
        ("return 10 ** 400", "too large"),
        ("return 1.5", r"outside the range \[0.0, 1.0\]"),
        ("raise ValueError('odd')", r"scorer\.py, line 2 raised ValueError: odd"),
    ],
)
def test_what_is_no_score_names_the_item(tmp_path, body, said):
    """§12, A3: NaN, inf, bool or string is never recorded as a score."""
    with pytest.raises(InvalidResults, match=rf"dev item in line 2 \('b'\).*{said}"):
        custom(tmp_path, body).grade(ITEMS[1], 0, "5")


def test_a_sealed_item_is_named_by_its_line_alone(tmp_path):
    grader = custom(tmp_path, "raise ValueError(actual)", split="vault")
    with pytest.raises(InvalidResults) as caught:
        grader.grade(ITEMS[1], 0, "an answer")
    assert caught.value.message == "vault item in line 2"


@pytest.mark.parametrize(("low", "high", "worst"), [(0.0, 1.0, 0.0), (0.0, 1.0, 1.0), (-5.0, 5.0, -5.0)])
def test_a_forbidden_output_is_worst_even_where_the_scorer_likes_it(tmp_path, low, high, worst):
    """§7: forbidden outputs are always wrong; where less is better the worst is the top of the range."""
    grader = custom(tmp_path, "return 0.5", forbidden=[r"\bsudo\b"], low=low, high=high, worst=worst)
    result = grader.grade(ITEMS[0], 0, "run sudo 2")
    assert (result.score, result.is_forbidden) == (worst, True)
    result = grader.grade(ITEMS[0], 0, "pseudo 2")
    assert (result.score, result.is_forbidden) == (0.5, False)


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"forbidden": ["a"], "worst": None}, "metric.range is none"), ({"forbidden": ["(a"]}, r"'\(a'")],
)
def test_forbidden_patterns_that_cannot_work_are_refused(tmp_path, changes, said):
    with pytest.raises(UsageError, match=said):
        grader_of(job_in(tmp_path, **changes))


def test_an_open_range_takes_any_finite_number(tmp_path):
    grader = custom(tmp_path, "return -1e9", low=None, high=None, worst=None)
    assert grader.grade(ITEMS[0], 0, "").score == -1e9


def test_choices_default_to_the_targets_that_occur(tmp_path):
    grader = grader_of(job_in(tmp_path, scorer="choice"))
    assert grader.grade(ITEMS[0], 0, "it is 2").score == 1.0
    assert grader.grade(ITEMS[0], 0, "2 or 12").score == 0.0


def test_output_is_kept_or_hashed(tmp_path):
    kept = grader_of(job_in(tmp_path)).grade(ITEMS[0], 0, "2")
    hashed = grader_of(job_in(tmp_path, keep_output=False)).grade(ITEMS[0], 0, "2")
    assert (kept.output, hashed.output) == ("2", None)
    assert kept.output_hash == hashed.output_hash != ""


def test_progress_is_a_line_every_half_minute():
    times = iter(range(0, 1000, 20))
    out = io.StringIO()
    assert list(with_progress("abcde", 5, out=out, clock=lambda: next(times))) == list("abcde")
    assert out.getvalue().splitlines() == ["evaluated 2/5, 0.1/s", "evaluated 4/5, 0.1/s"]
