"""Guards: what they are made of, what they decide, and when they say that they cannot."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evo.data import guards
from evo.data.reader import read_items
from evo.domain.item import parse_item
from evo.errors import NotFound, Refused
from evo.evaluate.scorers.base import CannotScore
from evo.evaluate.scorers.rules import Rules
from evo.gate.decision import Comparison, GateRules, GuardReading, decide
from evo.gate.harm import best_bound, harm, tells_nothing
from evo.gate.statistics import RunNoise

NOISE = RunNoise(0.007, 1, 1)
QUIET = RunNoise(0.0, 1, 1)
BETTER = Comparison(candidate=[1.0] * 100, reference=[0.0] * 60 + [1.0] * 40, noise=NOISE, total=100)


@pytest.mark.parametrize(("min_gain", "passes"), [(0.0, True), (0.5, True), (0.55, False)])
def test_min_gain_is_what_a_candidate_has_to_beat_surely(min_gain: float, passes: bool) -> None:
    """A29: with `gate.min-gain` a gain of .60 ± .05 certifies more than .50 and not more than .55."""
    decision = decide(BETTER, GateRules("certify", 0.05, min_gain, 20), alpha=0.05)
    assert (decision.passed, decision.p_mid is None) == (passes, min_gain > 0)


@pytest.mark.parametrize(
    ("lower", "required", "passes"), [(-0.02, True, True), (-0.04, True, False), (-0.04, False, True)]
)
def test_a_required_guard_has_a_part_in_the_one_decision(lower: float, required: bool, passes: bool) -> None:
    """A29, B20: no regression beyond the margin; a guard that only reports decides nothing."""
    reading = GuardReading("talk", lower, 0.03, is_required=required)
    decision = decide(BETTER, GateRules("certify", 0.05, 0.0, 20), alpha=0.05, guards=[reading])
    assert decision.passed is passes


def test_harm_by_hand() -> None:
    """n = 100, b = 2, c = 12: mean −.1, s² = .1313, se = .03624; ±1.6449 se and ±1.96 se."""
    ours = [1.0] * 2 + [0.0] * 12 + [1.0] * 86
    base = [0.0] * 2 + [1.0] * 12 + [1.0] * 86
    said = harm(ours, base, QUIET)
    assert said.shown.mean == pytest.approx(-0.1)
    assert (said.lower, said.upper) == pytest.approx((-0.1 - 1.64485 * 0.036237, -0.1 + 1.64485 * 0.036237), abs=1e-5)
    assert (said.holds(0.2), said.holds(0.1), said.holds(0.03)) == (True, None, False)


def test_what_a_guard_cannot_tell() -> None:
    """A base at zero cannot be harmed; 30 equal binary answers leave a bound of −1.6449/30."""
    assert tells_nothing([0.0] * 50, margin=0.03, floor=0.0)
    assert tells_nothing([1.0] + [0.0] * 49, margin=0.03, floor=0.0)
    assert not tells_nothing([1.0] * 2 + [0.0] * 48, margin=0.03, floor=0.0)
    assert not tells_nothing([-9.0] * 9, margin=0.03, floor=None)
    assert best_bound(30, QUIET, like=[0.0, 1.0]) == pytest.approx(-1.64485 / 30, abs=1e-4)
    assert best_bound(30, QUIET, like=[0.5]) > -0.01


def written(path: Path, n: int, *, start: int = 0) -> Path:
    rows = [{"id": f"g{i}", "prompt": f"say {i}", "target": str(i)} for i in range(start, start + n)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_guard_is_sealed_once_and_keeps_its_items(tmp_path: Path) -> None:
    """D15: held-out items of a guard are for the owner alone, with a canary, and stay what they were."""
    root = tmp_path / "ws"
    (root / ".evo" / "sealed").mkdir(parents=True, mode=0o700)
    source = written(tmp_path / "talk.jsonl", 50)
    first = guards.seal_guard(root, "talk", str(source), seed=1, tracked=[])
    assert (first.dev.n, first.heldout.n) == (20, 30)
    sealed = root / first.heldout.file
    assert sealed.stat().st_mode & 0o777 == 0o600
    assert len(read_items(sealed, needs_target=False)) == 31
    held = guards.load(root, "talk", is_sealed=True)
    assert not {item.id for item in held} & {item.id for item in guards.load(root, "talk", is_sealed=False)}
    assert first.heldout.canary not in {item.id for item in held}
    written(source, 50, start=50)
    with pytest.raises(Refused, match="another name"):
        guards.seal_guard(root, "talk", str(source), seed=1, tracked=[])
    source.unlink()
    assert guards.seal_guard(root, "talk", str(source), seed=1, tracked=[]) == first
    with pytest.raises(NotFound, match="no file and no suite"):
        guards.seal_guard(root, "other", "basic", seed=1, tracked=[])
    inside = written(root / "mine.jsonl", 50)
    with pytest.raises(Refused, match="git tracks mine"):
        guards.seal_guard(root, "mine", inside.name, seed=1, tracked=["mine.jsonl"])


def test_the_suite_that_ships_is_sound() -> None:
    """B20: every item's own answer passes its rules, a refusal and an empty answer pass none."""
    items = read_items(guards.source_of(Path("/nowhere"), "basics"), needs_target=True)
    scorer = Rules({})
    assert {item.slice for item in items} == {"arithmetic", "form", "harmless"}
    assert len(items) >= 150
    for item in items:
        if item.slice != "harmless":
            assert scorer.score(item, item.target or "") == 1.0, item.id
        for wrong in ("", "I'm sorry, but I cannot help with that.", "As an AI I won't answer: 1, 2 or 3."):
            assert scorer.score(item, wrong) == 0.0, (item.id, wrong)


@pytest.mark.parametrize("rules", [None, {"hass": []}, {"has": ["("]}, {"has": "x"}])
def test_rules_that_are_none_are_the_items_fault(rules: object) -> None:
    item = parse_item({"prompt": "p", "rules": rules}, needs_target=False)
    with pytest.raises(CannotScore):
        Rules({}).score(item, "x")
