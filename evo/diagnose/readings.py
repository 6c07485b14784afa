"""What the numbers of a finished run say about how it was trained, and what one would change.

Invariant: pure; a reading that the facts do not allow is None, never a guess. Differences are in the metric's own
units; `sign` is −1 where less is better.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

from evo.lightdata import dataclass, field

Row = Mapping[str, object]

LAST_ROWS = 20
"""The end of training is the mean over so many lines: one batch of a reward is mostly noise."""
SATURATED = 0.02
"""This near to an end of its range a reward hardly tells one completion from another."""
WIDE_GAP = 0.1
"""Share of the range; a gap within two standard errors of the dev score is none."""
NAMES = ("loss", "reward", "reward_std", "kl", "entropy", "mean_token_accuracy", "tokens_per_second", "gpu_memory_gb")


@dataclass(frozen=True)
class SliceGain:
    """The paired 95 % interval of the difference to the parent on one slice."""

    slice: str
    low: float
    high: float


@dataclass(frozen=True)
class Readings:
    """`train_score`: what the workspace's own measure gave in training. `saturation`: where in its range, 0 to 1."""

    train_score: float | None = None
    saturation: float | None = None
    gap: float | None = None
    slices: Sequence[SliceGain] = field(default_factory=tuple)


@dataclass(frozen=True)
class Advice:
    reading: str
    fix: str


def end_of_training(rows: Sequence[Row], rewards: Sequence[Mapping[str, object]]) -> dict[str, float]:
    """What is kept of metrics.jsonl: means over its last lines, the last step and the tokens; unknown ones left out.

    `rewards`: the recipe's terms; `train_score` is the term that is the workspace's own measure.
    """
    found = {name: mean for name in NAMES if (mean := mean_of(rows, name)) is not None}
    for name, key in (("steps", "step"), ("tokens", "tokens")):
        values = [value for row in rows if (value := _number(row.get(key))) is not None]
        if values:
            found[name] = values[-1]
    score = mean_of(rows, key) if (key := measured_key(rewards)) else None
    return found if score is None else found | {"train_score": score}


def measured_key(rewards: Sequence[Mapping[str, object]]) -> str:
    """The column of metrics.jsonl that holds the workspace's measure; empty where no reward is it."""
    return next((f"rewards/{term.get('name')}" for term in rewards if term.get("scorer") == "workspace"), "")


def mean_of(rows: Sequence[Row], name: str) -> float | None:
    values = [value for row in rows if (value := _number(row.get(name))) is not None][-LAST_ROWS:]
    return math.fsum(values) / len(values) if values else None


def saturation_of(train_score: float | None, *, low: float | None, high: float | None) -> float | None:
    if train_score is None or low is None or high is None:
        return None
    return (train_score - low) / (high - low)


def advice(readings: Readings, *, score_se: float, span: float | None, sign: float = 1.0) -> list[Advice]:
    """Reading → fix. `span`: the width of the metric's range, None where that is open."""
    found = [_saturated(readings.saturation), _gap(readings.gap, score_se=score_se, span=span, sign=sign)]
    worse = [part.slice for part in readings.slices if (part.high if sign > 0 else -part.low) < 0]
    if worse:
        what = f"worse than its parent on {', '.join(worse[:5])}"
        found.append(Advice(what, "more rows of these slices in the mix, a lower learning_rate, or fewer steps"))
    return [each for each in found if each is not None]


def saturated_end(value: float) -> Literal["upper", "lower"] | None:
    """Which end of its range a reward at `value`, 0 to 1, has come to."""
    if value >= 1 - SATURATED:
        return "upper"
    return "lower" if value <= SATURATED else None


def is_wide_gap(gap: float, *, score_se: float, span: float | None, sign: float = 1.0) -> bool:
    """`gap`: what training scored over dev, in the metric's own units."""
    return sign * gap > max(2 * score_se, WIDE_GAP * (span or 0.0))


def _saturated(value: float | None) -> Advice | None:
    end = None if value is None else saturated_end(value)
    if end == "upper":
        fix = "harder prompts, or a stricter reward: where all completions are right there is nothing left to learn"
        return Advice(f"the reward is saturated at its upper end ({value:.3f})", fix)
    if end == "lower":
        fix = "easier prompts, a denser reward, or supervised training first: what is never earned teaches nothing"
        return Advice(f"the reward is degenerate at its lower end ({value:.3f})", fix)
    return None


def _gap(gap: float | None, *, score_se: float, span: float | None, sign: float) -> Advice | None:
    if gap is None or not is_wide_gap(gap, score_se=score_se, span=span, sign=sign):
        return None
    fix = "more and other prompts, fewer epochs, a higher beta; and look at what the reward can be won by"
    return Advice(f"training scored {gap:+.3f} against dev: it does not generalise", fix)


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value)
