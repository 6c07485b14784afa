"""What the tree as a whole says of the search: a few rules, each with its evidence and the command that follows.

Invariant: pure; a rule that the facts do not allow says nothing. A message holds no number that changes with every
run, so that what was settled once is not raised again; numbers are evidence. Differences are direction-adjusted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from evo.diagnose.readings import LAST_ROWS, is_wide_gap, saturated_end, saturation_of
from evo.domain.experiment import ROOT
from evo.domain.finding import Finding
from evo.lightdata import dataclass, field

SOURCE = "diagnose"
SUPERVISED = ("sft",)
FEWEST_SFT_RUNS = 2
FEWEST_MOVES = 3
"""Three moves in a row without a gain: one in eight where each is as likely up as down."""
FEWEST_TECHNIQUES = 3
FEWEST_DECISIONS = 20
"""Under so many decisions dev is young, whatever it has decided."""


@dataclass(frozen=True)
class Task:
    """`low`, `high`: ends of the metric's range. `chance`: what guessing scores, where that is known."""

    low: float | None = 0.0
    high: float | None = 1.0
    sign: float = 1.0
    is_verifiable: bool = True
    chance: float | None = None
    has_model: bool = True
    base: float | None = None
    base_se: float = 0.0
    few_shot: float | None = None
    """What the base scores with examples before the question, where that was measured."""

    @property
    def worst(self) -> float | None:
        return self.low if self.sign > 0 else self.high

    @property
    def best(self) -> float | None:
        return self.high if self.sign > 0 else self.low

    @property
    def span(self) -> float | None:
        return None if self.low is None or self.high is None else self.high - self.low


@dataclass(frozen=True)
class Reached:
    """The best that one technique has scored in this epoch, and in how many runs."""

    technique: str
    id: str
    score: float
    se: float
    n: int
    runs: int


@dataclass(frozen=True)
class Move:
    """A finished experiment. `delta`: its gain over its parent; None where it was worse by mid-evaluation."""

    id: str
    delta: float | None

    @property
    def is_gain(self) -> bool:
        return self.delta is not None and self.delta > 1e-12


@dataclass(frozen=True)
class Rewarded:
    """A run that was rewarded by the workspace's own measure, and what it came to on dev."""

    id: str
    train_score: float
    score: float
    score_se: float


@dataclass(frozen=True)
class Decisions:
    """How often dev has decided since `committed`. `gain`: of the best over it, in units; `gain_se`: its paired SE."""

    count: int
    items: int
    committed: str = ROOT
    best: str = ROOT
    gain: float = 0.0
    gain_se: float = 0.0


@dataclass(frozen=True)
class TreeFacts:
    """`moves`: those of the technique that finished last, `technique`, the newest first."""

    task: Task
    reached: Sequence[Reached] = field(default_factory=tuple)
    technique: str = ""
    moves: Sequence[Move] = field(default_factory=tuple)
    rewarded: Sequence[Rewarded] = field(default_factory=tuple)
    decisions: Decisions | None = None


def diagnose(facts: TreeFacts) -> list[Finding]:
    """All that fires, the most fundamental first."""
    found = [
        below_chance(facts.task),
        stuck_at_zero(facts.task, facts.reached),
        same_score(facts.task, facts.reached),
        exhausted(facts.technique, facts.moves),
        saturated(facts.task, facts.rewarded),
        wide_gap(facts.task, facts.rewarded),
        worn(facts.decisions),
    ]
    return [each for each in found if each is not None]


def below_chance(task: Task) -> Finding | None:
    """Row A17. Examples before the question that lift the base over chance show that only the format was missing."""
    if task.chance is None or task.base is None:
        return None
    known = [score for score in (task.base, task.few_shot) if score is not None]
    if any(task.sign * (score - task.chance) >= 0 for score in known):
        return None
    unseen = "; evo diagnose --format shows first whether only the form is missing" if task.few_shot is None else ""
    message = (
        "the base model scores below chance: it does not know this, and post-training brings out what a model knows;"
        f" continued pretraining on texts, distillation from a model that knows, or retrieval{unseen}"
    )
    evidence = {"base": task.base, "se": task.base_se, "chance": task.chance, "few_shot": task.few_shot}
    step = f"evo new --parent {ROOT} --recipe pretrain -m 'texts that hold what the base does not know'"
    return _warning("below-chance", message, evidence, step if task.has_model else "evo recipe list")


def of_format(evidence: Mapping[str, Any], *, sign: float = 1.0) -> Finding:
    """Zero-shot against few-shot on the base model: `low`, `high` are the ends of the paired 95 % interval.

    On PostTrainBench examples alone take base models from 7.5 to 18.1: most of what a first training brings is form.
    """
    gains = evidence["low"] > 0 if sign > 0 else evidence["high"] < 0
    step = f"evo new --parent {ROOT} --recipe sft -m 'teach the form of the answer first'"
    if gains:
        message = (
            "format first: examples before the question lift the untouched base model; check end tokens and template,"
            " and count a first gain as form, not as ability"
        )
        return Finding("format", "format-first", "warn", message, dict(evidence), step)
    message = "examples before the question do not lift the base model: its form of answer is not what is missing"
    return Finding("format", "format-in-order", "note", message, dict(evidence))


def stuck_at_zero(task: Task, reached: Sequence[Reached]) -> Finding | None:
    """Row A16: supervised runs that end at the worst score there is, while nothing else has got off it."""
    worst = task.worst
    sft = [each for each in reached if each.technique in SUPERVISED]
    runs = sum(each.runs for each in sft)
    if not task.is_verifiable or worst is None or runs < FEWEST_SFT_RUNS or any(r.score != worst for r in reached):
        return None
    message = "every run is at zero, supervised ones too: another technique is needed, not another dose"
    if task.base is not None and task.base != worst:
        message = (
            "supervised training has taken the base model's score to zero: compare rendered training rows with"
            " evaluation prompts, then change the technique"
        )
    pivot = (
        f"evo new --parent {ROOT} --recipe grpo -m 'reward what the scorer verifies, on prompts that are won at times'"
    )
    evidence = {"runs": runs, "worst": worst, "base": task.base, "experiments": [each.id for each in sft]}
    return _warning("stuck-at-zero", message, evidence, pivot if task.has_model else "evo recipe list")


def same_score(task: Task, reached: Sequence[Reached]) -> Finding | None:
    """Row A19: the techniques that got furthest, three or more of them, got equally far, and not to an end."""
    ranked = sorted(reached, key=lambda each: (-task.sign * each.score, each.technique))
    if not ranked:
        return None
    top = ranked[0]
    level = [each for each in ranked if abs(each.score - top.score) <= _sameness(task, top)]
    if len(level) < FEWEST_TECHNIQUES or any(each.score == task.worst for each in level):
        return None
    place = saturation_of(top.score, low=task.low, high=task.high)
    if place is not None and saturated_end(place if task.sign > 0 else 1 - place) == "upper":
        return None
    techniques = sorted(each.technique for each in level)
    message = (
        f"{', '.join(techniques)} all come to the same score: suspect what is measured before what is tried, and look"
        " at training examples beside evaluation prompts before another technique"
    )
    evidence = {
        "techniques": techniques,
        "experiments": [each.id for each in level],
        "scores": [each.score for each in level],
        "n": top.n,
    }
    return Finding(SOURCE, "same-score", "block", message, evidence, "evo diagnose --ack same-score")


def _sameness(task: Task, top: Reached) -> float:
    """One item, or half a standard error where that is more: nothing that dev could tell apart."""
    return max((task.span or 0.0) / max(1, top.n), top.se / 2) + 1e-9


def exhausted(technique: str, moves: Sequence[Move]) -> Finding | None:
    """Row A18: the last moves of the technique at work, none of them a gain over its parent."""
    dry = next((place for place, move in enumerate(moves) if move.is_gain), len(moves))
    if dry < FEWEST_MOVES:
        return None
    since = f"has brought nothing since {moves[dry].id}" if dry < len(moves) else "has brought no gain"
    message = f"{technique} {since}: this method is exhausted; change the data, the reward or the technique"
    evidence = {"technique": technique, "moves": [{"id": m.id, "delta": m.delta} for m in moves[: min(dry, 10)]]}
    return _warning("exhausted", message, evidence, "evo frontier")


def saturated(task: Task, runs: Sequence[Rewarded]) -> Finding | None:
    """Rewards of the last rewarded runs that can hardly tell one completion from another."""
    ends: dict[str, str] = {}
    for run in runs:
        place = saturation_of(run.train_score, low=task.low, high=task.high)
        end = None if place is None else saturated_end(place if task.sign > 0 else 1 - place)
        if end is not None:
            ends[run.id] = end
    if not ends:
        return None
    newest = next(iter(ends))
    where = "best" if ends[newest] == "upper" else "worst"
    message = (
        f"the reward of {', '.join(ends)} is saturated at its {where} end: it hardly tells one answer from another"
    )
    evidence = {"rewards": {run.id: run.train_score for run in runs if run.id in ends}, "last_rows": LAST_ROWS}
    return _warning("reward-saturated", message, evidence, f"evo show {newest}")


def wide_gap(task: Task, runs: Sequence[Rewarded]) -> Finding | None:
    gaps = {
        run.id: run.train_score - run.score
        for run in runs
        if is_wide_gap(run.train_score - run.score, score_se=run.score_se, span=task.span, sign=task.sign)
    }
    if not gaps:
        return None
    message = f"{', '.join(gaps)} earned in training what dev does not show: what was learned does not generalise"
    return _warning("generalization-gap", message, {"gaps": gaps}, f"evo failures {next(iter(gaps))}")


def worn(decisions: Decisions | None) -> Finding | None:
    """Dev has chosen so often that what it chooses tells no more.

    Either it has decided more often than it has items, where no bound on adaptive reuse says anything (√(k/n); Dwork
    et al. 2015, "The reusable holdout"), or the best of k is not further ahead than the best of k equal ones is
    expected to be, s·√(2 ln k) (Boucheron, Lugosi, Massart 2013, theorem 2.5). A commit is a fresh start: held-out has
    confirmed what dev chose.
    """
    if decisions is None or decisions.count < FEWEST_DECISIONS:
        return None
    luck = decisions.gain_se * math.sqrt(2 * math.log(decisions.count))
    if decisions.count < decisions.items and decisions.gain > luck:
        return None
    message = f"dev is worn: it has chosen so often since {decisions.committed} that its choice tells no more"
    evidence = {
        "decisions": decisions.count, "items": decisions.items, "best": decisions.best,
        "gain": decisions.gain, "expected_by_luck": luck,
    }  # fmt: skip
    asks = decisions.best != decisions.committed
    return _warning("dev-worn", message, evidence, f"evo certify {decisions.best}" if asks else "evo data status")


def _warning(kind: str, message: str, evidence: Mapping[str, Any], step: str) -> Finding:
    return Finding(SOURCE, kind, "warn", message, dict(evidence), step)
