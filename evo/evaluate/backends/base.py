"""What a backend is: an engine that answers items with some weights and hands over graded results.

Contract. A backend is built from one EvalJob; building it loads nothing. `results` yields exactly one ItemResult for
each item and each sample 0 … samples−1, in any order, as soon as it has it; `model` names other weights than the job's.
It may be called again and again in one process, as mid-evaluation does: what is warm stays warm, and the results are
those of a fresh process. A backend that generates text passes every output through `evo.evaluate.grading.Grader`; one
that is given scores passes those through `Grader.result`. What the weights' own folder says about prompt, template or
generation is not read. Trouble of the engine (memory, a missing file, a command that fails) is an error, never a score;
results that are no results are `InvalidResults`. `beside` is the same engine for another job on the same weights: it
answers as a fresh one would, and shares what is loaded. The process checks again that nothing is missing or double, so
a backend need not be trusted with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from evo.domain.item import Item, ItemResult
from evo.domain.job import EvalJob


class Backend(Protocol):
    def __init__(self, job: EvalJob) -> None: ...

    def results(self, items: Sequence[Item], model: Path | None = None) -> Iterator[ItemResult]: ...

    def beside(self, job: EvalJob) -> Backend: ...
