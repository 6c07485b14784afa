"""What a run's dev outputs look like beside the base's and beside the targets: alarms on drift, repetition, hedging.

Each alarm compares shares: of this run, of the base on the same items, and of the targets. What the targets do is no
fault, and what the base did before is no drift, so an honest fine-tuning, which moves outputs towards the targets, is
silent whatever its score. Invariant: pure; a score plays no part; fewer than LEAST outputs raise nothing.
"""

from __future__ import annotations

import math
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import NamedTuple

from evo.domain.finding import Finding

SOURCE = "outputs"
LEAST = 16
"""Outputs: the share of one of 16 has a standard error of up to .125, half of what the alarms ask for."""
RISE = 0.25
"""How much larger than the base's a share must be: two standard errors of the difference at 32 items a side."""
LONGER = 3.0
"""Factor in median length, against the base and against the targets; RL that thinks longer seldom doubles it."""
OFF_FORMAT = 0.3
"""Points by which the share of outputs in the usual shape falls: three standard errors at 25 items."""
DOMINANT = 0.5
LOOP_CHARS, LOOP_RATIO = 100, 0.2
"""A text of a hundred characters that deflates to a fifth repeats itself: prose and code come to a half."""
SPAM = 4
"""One marker so many times in one output."""
_MARKERS = (
    r"(?i)\b(?:final\s+)?answer\s*(?:is|:|=)\s*([^\s.,;]+)",
    r"\\boxed\s*\{([^{}]*)\}",
    r"####\s*([^\s]+)",
)
"""What graders of answers look for, whichever this workspace's is."""

_WORD = r"(?<!\\)[A-Za-z]{3}|####"
"""A pattern with a word in it is a marker; one for any number is none, and fits every line of arithmetic."""


TRUNCATED = "truncated-outputs"
CUT_OFF = 0.1
"""A tenth of the answers, cut off and wrong for it: more than most steps gain."""


class Said(NamedTuple):
    """One dev item: this run's first output, the base's (None: it has none), and the target.

    `is_cut_off`: the output took all the tokens that it may have and came to no end, and was not right.
    """

    output: str
    base: str | None
    target: str | None
    is_cut_off: bool = False


class Marks(NamedTuple):
    """What the scorer looks for: the pattern of `regex`, the legal answers of `choice`."""

    pattern: str = ""
    choices: Sequence[str] = ()


def alarms(said: Sequence[Said], marks: Marks = Marks()) -> list[Finding]:
    """Findings of severity `warn`, at most one of each kind."""
    if len(said) < LEAST:
        return []
    found = [_length(said), _format(said), _repeated(said), _loops(said), _hedges(said, marks)]
    return [each for each in found if each is not None]


def truncation(said: Sequence[Said]) -> Finding | None:
    """Answers that miss nothing but their end; what goes round in circles would not have come to one."""
    share = sum(one.is_cut_off and not is_loop(one.output) for one in said) / max(len(said), 1)
    if len(said) < LEAST or share < CUT_OFF:
        return None
    what = f"{share:.0%} of the outputs were cut off before they came to an end, and are not right"
    return _alarm(TRUNCATED, what, {"share": share})


class Shares(NamedTuple):
    """Of this run's outputs, the base's, the targets; 0 where there are none."""

    ours: float
    base: float
    target: float

    @property
    def has_risen(self) -> bool:
        return self.ours > max(self.base, self.target) + RISE


def shares(said: Sequence[Said], holds: Callable[[str], bool]) -> Shares:
    """How often each side does something."""
    columns = ([one.output for one in said], _known(one.base for one in said), _known(one.target for one in said))
    return Shares(*(sum(map(holds, column)) / len(column) if column else 0.0 for column in columns))


def _known(texts: Iterable[str | None]) -> list[str]:
    return [text for text in texts if text is not None]


def _length(said: Sequence[Said]) -> Finding | None:
    """Longer or shorter than the base by a factor, and further from the targets than the base was."""
    ours = _middle([len(one.output) for one in said])
    base, target = _median(one.base for one in said), _median(one.target for one in said)
    if base is None:
        return None
    ratio = (ours + 1) / (base + 1)
    is_far = target is None or (ours + 1) / (target + 1) > LONGER or (target + 1) / (ours + 1) > LONGER
    if not is_far or not (ratio > LONGER or ratio < 1 / LONGER):
        return None
    if target is not None and abs(_log(ours, target)) <= abs(_log(base, target)):
        return None  # nearer to the targets than the base
    what = f"outputs are {ours:.0f} characters long (median), the base's {base:.0f}"
    what += f", the targets {target:.0f}" if target is not None else ""
    return _alarm("length", what, {"median": ours, "base": base, "target": target})


def _middle(numbers: Sequence[int]) -> float:
    """The median; the module `statistics` takes 2 ms to import."""
    ordered, half = sorted(numbers), len(numbers) // 2
    return float(ordered[half]) if len(numbers) % 2 else (ordered[half - 1] + ordered[half]) / 2


def _median(texts: Iterable[str | None]) -> float | None:
    known = _known(texts)
    return _middle([len(text) for text in known]) if known else None


def _log(one: float, other: float) -> float:
    return math.log((one + 1) / (other + 1))


def shape(text: str) -> str:
    """`{"tool": "lamp", "on": 1}` → `{"a":"a","a":9}`: the kind of text, whatever it says."""
    kinds = re.sub(r"\d+(?:[.,]\d+)*", "9", re.sub(r"[^\W\d_]+", "a", text.strip()))
    return re.sub(r"(?:a_)*a(?:a|_)*", "a", re.sub(r"\s+", "", kinds))[:40]


def _has_shape(usual: str, text: str) -> bool:
    return shape(text) == usual


def _format(said: Sequence[Said]) -> Finding | None:
    """Fewer outputs in the shape that the targets (else the base's outputs) mostly have than the base had."""
    base = _known(one.base for one in said)
    for column in (_known(one.target for one in said), base):
        usual, count = Counter(map(shape, column)).most_common(1)[0] if column else ("", 0)
        if count and count >= DOMINANT * len(column) and base:
            seen = shares(said, partial(_has_shape, usual))
            if seen.ours < seen.base - OFF_FORMAT:
                what = f"{seen.ours:.0%} of the outputs have the usual form, of the base's {seen.base:.0%}"
                return _alarm("format", what, {"form": usual, "share": seen.ours, "base": seen.base})
            return None
    return None


def _repeated(said: Sequence[Said]) -> Finding | None:
    """One output for many items, which neither base nor targets do."""
    text, count = Counter(one.output.strip() for one in said).most_common(1)[0]
    base = _most_common(one.base for one in said)
    target = _most_common(one.target for one in said)
    share = count / len(said)
    if not Shares(share, base, target).has_risen:
        return None
    # not quoted: it may be a sealed answer
    name = "one and the same output" if text else "the empty output"
    return _alarm("repeated", f"{name} for {share:.0%} of the items", {"share": share, "base": base, "target": target})


def _most_common(texts: Iterable[str | None]) -> float:
    """The share of the text that occurs most often."""
    known = [text.strip() for text in _known(texts)]
    return Counter(known).most_common(1)[0][1] / len(known) if known else 0.0


def _loops(said: Sequence[Said]) -> Finding | None:
    seen = shares(said, is_loop)
    if not seen.has_risen:
        return None
    return _alarm("loops", f"{seen.ours:.0%} of the outputs repeat themselves", {"share": seen.ours, "base": seen.base})


def is_loop(text: str) -> bool:
    data = text.encode()
    return len(data) >= LOOP_CHARS and len(zlib.compress(data)) < LOOP_RATIO * len(data)


def _hedges(said: Sequence[Said], marks: Marks) -> Finding | None:
    """Several answers in one output, or the scorer's markers over and over: what wins where the first match counts."""
    seen = shares(said, lambda text: hedges(text, marks))
    if not seen.has_risen:
        return None
    what = f"{seen.ours:.0%} of the outputs hold several answers, or the scorer's markers {SPAM} times and more"
    return _alarm("hedging", what, {"share": seen.ours, "base": seen.base})


def hedges(text: str, marks: Marks = Marks()) -> bool:
    named = (marks.pattern,) if re.search(_WORD, marks.pattern) else ()
    for pattern in map(re.compile, (*_MARKERS, *named)):  # `re` keeps what it has compiled
        answers = [found[1] if pattern.groups else found[0] for found in pattern.finditer(text) if found[0]]
        if len(answers) >= SPAM or (len(set(answers)) > 2):
            return True
    folded = " ".join(text.casefold().split())
    words = (rf"(?<!\w){re.escape(choice.casefold())}(?!\w)" for choice in marks.choices)
    spoken = sum(re.search(word, folded) is not None for word in words)
    return bool(marks.choices) and spoken >= max(2, min(len(marks.choices), 3))


def _alarm(kind: str, message: str, evidence: dict[str, object]) -> Finding:
    return Finding(SOURCE, kind, "warn", message, evidence)
