"""From an output to a graded result: forbidden patterns first, then the scorer, then the range.

Invariant: a result that leaves this file is a finite number within the metric's range. Anything else ends the
evaluation with the item named; trouble never becomes a zero.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from evo.domain.item import Item, ItemResult, checked_score
from evo.domain.job import EvalJob
from evo.errors import RunFailed, UsageError
from evo.evaluate.scorers.base import CannotScore, Scorer
from evo.files import sha256_file, sha256_text
from evo.registry import load

SEALED = ("heldout", "vault")
SCORER = "scorer.py"


class InvalidResults(RunFailed):
    """The results are not what an evaluation must give: one finite number in range for each item and sample."""

    code = "invalid_results"


class Names:
    """What a message calls an item: its line and id, or its line alone where the split is sealed."""

    def __init__(self, job: EvalJob, items: Sequence[Item], *, called: str = "") -> None:
        self._is_sealed = job.split in SEALED
        self._split = called or job.split
        self._lines = {item.id: line for line, item in enumerate(items, start=1)}

    def __call__(self, item_id: str) -> str:
        place = f"{self._split} item in line {self._lines[item_id]}"
        return place if self._is_sealed else f"{place} ({item_id!r})"

    def quoted(self, text: str) -> str:
        """Text of a result for a message; nothing of it where the split is sealed."""
        return "" if self._is_sealed else f": {text[:200]}"


class Grader:
    """Grades the outputs of one job; a backend that is given scores needs no `scorer`."""

    def __init__(
        self, job: EvalJob, items: Sequence[Item], *, scorer: Scorer | None = None, names: Names | None = None
    ) -> None:
        self._job = job
        self._names = names or Names(job, items)
        self._forbidden = forbidden_patterns(job)
        self._scorer = scorer

    def grade(self, item: Item, sample: int, output: str, is_cut_off: bool = False) -> ItemResult:
        """The result of a model's `output`. InvalidResults names the item."""
        if self._scorer is None:
            raise TypeError("outputs without scores need a scorer")
        if self._is_forbidden(output):
            return self.result(item.id, sample, self._job.worst, output, is_cut_off=is_cut_off)
        try:
            value = self._scorer.score(item, output)
        except CannotScore as error:
            raise InvalidResults(f"{self._names(item.id)}{self._names.quoted(str(error))}") from error
        return self.result(item.id, sample, value, output, is_cut_off=is_cut_off)

    def result(
        self, item_id: str, sample: int, value: object, output: str | None, *, is_cut_off: bool = False
    ) -> ItemResult:
        """`value` as a checked result; a forbidden `output` gets the worst score whatever `value` is."""
        is_forbidden = output is not None and self._is_forbidden(output)
        try:
            checked = checked_score(value, low=self._job.low, high=self._job.high)
        except (ValueError, OverflowError) as error:
            raise InvalidResults(f"{self._names(item_id)}: {error}") from None
        return ItemResult(
            item=item_id,
            sample=sample,
            score=self._job.worst if is_forbidden and self._job.worst is not None else checked,
            output_hash="" if output is None else sha256_text(output),
            output=output if self._job.keep_output else None,
            is_forbidden=is_forbidden,
            is_cut_off=is_cut_off,
        )

    def _is_forbidden(self, output: str) -> bool:
        return any(pattern.search(output) for pattern in self._forbidden)


def build_scorer(job: EvalJob, items: Sequence[Item]) -> Scorer:
    """The scorer of `job`; where it names no `choices`, the targets that occur are the legal ones.

    UsageError, NotFound or FileFormatError where it cannot be built.
    """
    options = dict(job.scorer_options)
    options["choices"] = options.get("choices") or sorted({item.target for item in items if item.target is not None})
    page, pinned = Path(job.pinned_dir) / SCORER, (job.pins or {}).get(SCORER)
    if pinned is not None and (not page.is_file() or sha256_file(page) != pinned):
        raise RunFailed(f"{page} is not what was pinned", hint=f"remove {job.pinned_dir}: evo copies it again")
    scorer: Scorer = load("scorer", job.scorer)(options, pinned_dir=Path(job.pinned_dir) if job.pinned_dir else None)
    return scorer


def forbidden_patterns(job: EvalJob) -> list[re.Pattern[str]]:
    if job.forbidden and job.worst is None:
        raise UsageError(
            "eval.forbidden needs a worst score, and metric.range is none",
            hint="give metric.range two numbers, or drop eval.forbidden",
        )
    try:
        return [re.compile(pattern) for pattern in job.forbidden]
    except re.error as error:
        raise UsageError(f"eval.forbidden holds {error.pattern!r}, which is no regular expression: {error}") from None
