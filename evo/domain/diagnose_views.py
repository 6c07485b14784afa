"""Views of `evo diagnose`.

Invariant: bounded; texts are of training rows and dev items alone.
"""

from __future__ import annotations

from evo.domain.views import FindingView
from evo.lightdata import dataclass, field


@dataclass(frozen=True)
class TrainingExampleView:
    """A row as training renders it. `score`: of its own answer, by the workspace's scorer; None: not to be asked."""

    experiment: str
    file: str
    line: int
    text: str
    answer: str | None
    score: float | None = None


@dataclass(frozen=True)
class PromptView:
    """A dev item as evaluation renders it. `output`: of the first of the experiments."""

    item: str
    text: str
    target: str | None
    output: str | None
    score: float | None


@dataclass(frozen=True)
class SidesView:
    """Training beside evaluation (row A19). `forms`: side -> forms of its answers, as `ANSWER: …, 20 of 20`."""

    training: list[TrainingExampleView]
    evaluation: list[PromptView]
    forms: dict[str, list[str]]
    scored: int | None
    right: int
    verdict: str
    problem: str = ""
    """Why a side could not be rendered or scored."""


@dataclass(frozen=True)
class ModeView:
    """`label`: data, training or inference-template. `share`: of the wrong answers, or of the items it speaks of."""

    label: str
    name: str
    share: float
    message: str
    next: str


@dataclass(frozen=True)
class PriorView:
    name: str
    why: str
    here: str


@dataclass(frozen=True)
class FormatView:
    """The base model on the same dev items, without and with examples before the question; never a score."""

    zero_shot: float
    few_shot: float
    delta: float
    low: float
    high: float
    n: int
    shots: int
    message: str
    next: str = ""


@dataclass(frozen=True)
class DiagnoseView:
    """Of the tree, or of one experiment. `modes`: of the experiment, else of the best one (`modes_of`)."""

    experiment: str | None
    findings: list[FindingView]
    dev_worn: bool
    modes_of: str | None = None
    modes: list[ModeView] = field(default_factory=list)
    sides: SidesView | None = None
    priors: list[PriorView] = field(default_factory=list)
    acknowledged: str = ""
