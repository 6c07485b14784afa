"""Why an experiment's wrong answers are wrong: at most three failure modes, each laid to data, training, or inference
and template (row D12).

Invariant: pure, from dev answers alone; a mode names its share of the wrong answers, or of the items it speaks of.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Literal

from evo.diagnose.trial import MARKERS
from evo.lightdata import dataclass, replace

Label = Literal["data", "training", "inference-template"]
MOST = 3
NOTABLE = 0.2
"""A fifth of the wrong answers: what explains less is not where one begins."""
FEWEST = 5
"""Wrong answers, or items of a slice, under which a share says nothing."""
_LESS = "a lower learning_rate, fewer steps"
_FORM = "look at the form: evo diagnose --format"
WIDE = 0.3
"""Of the range, below all other slices together: such a slice is not learned from the data that there is."""


@dataclass(frozen=True)
class Answer:
    """One dev item. `score` and `base` lie between 0, the worst there is, and 1; `base` is exp_0000's."""

    slice: str | None
    target: str | None
    output: str
    score: float
    base: float | None = None


@dataclass(frozen=True)
class FailureMode:
    label: Label
    name: str
    share: float
    message: str
    next: str


def failure_modes(
    answers: Sequence[Answer], *, seen: Sequence[FailureMode] = (), is_trained: bool = True
) -> list[FailureMode]:
    """The widest first. `seen`: what was noticed while the answers were made. What nobody has trained has no fault of
    training: there it is the form."""
    wrong = [answer for answer in answers if answer.score < 1]
    found = [*seen, *_of_wrong(wrong), *_forgotten(answers), *_slices(answers)]
    if not is_trained:
        found = [
            replace(mode, label="inference-template", next=_FORM) if mode.label == "training" else mode
            for mode in found
        ]
    return sorted(found, key=lambda mode: (-mode.share, mode.name))[:MOST]


def _of_wrong(wrong: Sequence[Answer]) -> list[FailureMode]:
    n = len(wrong)
    if n < FEWEST:
        return []
    said = Counter(answer.output.strip() for answer in wrong if answer.output.strip())
    times = max(said.values(), default=0)
    counted: list[tuple[Label, str, int, str, str]] = [
        (
            "inference-template", "answer-not-read", sum(map(_holds_target, wrong)),
            "hold the right answer, and the scorer does not find it", _FORM,
        ),
        (
            "inference-template", "empty", sum(not answer.output.strip() for answer in wrong),
            "are empty", "check end tokens and template: evo recipe check",
        ),
        (
            "inference-template", "template-markers", sum(map(_has_marker, wrong)),
            "hold markers of a chat template", "train on plain messages; the page renders them",
        ),
        ("training", "one-answer", times, "are one and the same text", f"{_LESS}, a higher beta"),
        ("training", "loops", sum(map(_loops, wrong)), "repeat themselves to the end", _LESS),
    ]  # fmt: skip
    return [
        FailureMode(label, name, count / n, f"{count} of {n} wrong answers {what}", step)
        for label, name, count, what, step in counted
        if count / n >= NOTABLE
    ]


def _holds_target(answer: Answer) -> bool:
    target = (answer.target or "").strip().casefold()
    return bool(target) and re.search(rf"(?<!\w){re.escape(target)}(?!\w)", answer.output.casefold()) is not None


def _has_marker(answer: Answer) -> bool:
    return any(marker in answer.output for marker in MARKERS)


def _loops(answer: Answer) -> bool:
    """The last words are one phrase three times over."""
    words = answer.output.split()
    return any(
        len(words) >= 3 * size and words[-size:] == words[-2 * size : -size] == words[-3 * size : -2 * size]
        for size in range(1, min(20, len(words) // 3) + 1)
    )


def _forgotten(answers: Sequence[Answer]) -> list[FailureMode]:
    known = [answer for answer in answers if answer.base is not None and answer.base >= 1]
    lost = sum(answer.score < 1 for answer in known)
    if len(known) < FEWEST or lost / len(known) < NOTABLE:
        return []
    message = f"{lost} of {len(known)} items that the base model gets right are lost"
    return [FailureMode("training", "forgotten", lost / len(known), message, f"{_LESS}, or a LoRA")]


def _slices(answers: Sequence[Answer]) -> list[FailureMode]:
    """The slice that lies furthest below the others, where that is far."""
    groups: dict[str, list[float]] = {}
    for answer in answers:
        if answer.slice is not None:
            groups.setdefault(answer.slice, []).append(answer.score)
    found = []
    for name, scores in groups.items():
        rest = [score for other, others in groups.items() if other != name for score in others]
        if len(scores) < FEWEST or len(rest) < FEWEST:
            continue
        here, there = sum(scores) / len(scores), sum(rest) / len(rest)
        if there - here >= WIDE:
            message = f"slice {name} scores {here:.2f}, all others together {there:.2f}"
            found.append(FailureMode("data", "slice", there - here, message, f"more training rows like slice {name}"))
    return sorted(found, key=lambda mode: -mode.share)[:1]
