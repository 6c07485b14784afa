"""Views of ideas, recommendations, lessons and of how ideas came out.

Invariant: a reference is never shown without its status; what is predicted is never shown without its interval.
"""

from __future__ import annotations

from typing import Any

from evo.lightdata import dataclass, field


@dataclass(frozen=True)
class ReferenceView:
    """`status`: verified, mismatch, not_found or unresolved."""

    url: str
    kind: str
    title: str
    finding: str
    status: str
    level: str = ""


@dataclass(frozen=True)
class IdeaDetailView:
    """One idea, whole. `gain`, `low`, `high`: over the parent, in the metric's units, positive is better."""

    id: int
    state: str
    title: str
    brief: str
    technique: str
    hypothesis: str
    parent: str
    recipe: str
    patch: dict[str, Any]
    gain: float | None
    low: float | None
    high: float | None
    gpu_seconds: float | None
    risks: str
    refuted_by: str
    rationale: str
    novelty: float
    differs: str
    data_source: str
    references: list[ReferenceView]
    based_on: list[str]
    confidence: list[str]
    commands: list[str]
    source: str
    experiment: str | None = None
    reason: str = ""
    created: str = ""


@dataclass(frozen=True)
class IdeasView:
    """Best first where they were asked for, newest first where they are listed."""

    ideas: list[IdeaDetailView]
    brief: str = ""
    why: str = ""
    truncated: bool = False
    path: str = ""
    """The file with a line for every idea."""


@dataclass(frozen=True)
class NeighbourView:
    """`what`: experiment, idea, claim or paper; `likeness`: share of the words' weight that it holds, 0 to 1."""

    what: str
    id: str
    text: str
    likeness: float
    outcome: str = ""
    status: str = ""


@dataclass(frozen=True)
class IdeaCheckView:
    """How new an idea in words is: `novelty` is 1 less the likeness of the nearest experiment or idea of the tree."""

    words: str
    novelty: float
    verdict: str
    tree: list[NeighbourView]
    knowledge: list[NeighbourView]
    papers: list[NeighbourView] = field(default_factory=list)
    """Of arXiv and Hugging Face; none where the network is off."""


@dataclass(frozen=True)
class TechniqueView:
    """`recipe` is empty where none is shipped."""

    shape: str
    technique: str
    recipe: str
    why: str


@dataclass(frozen=True)
class PriorView:
    name: str
    why: str
    here: str


@dataclass(frozen=True)
class RecommendView:
    """Reward first, then technique: a prior, never a rule."""

    shapes: list[str]
    techniques: list[TechniqueView]
    priors: list[PriorView]
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class LessonView:
    """`relation`: own, ancestor, discarded sibling, similar, or earlier workspace, which `origin` names."""

    relation: str
    experiment: str
    text: str
    origin: str = ""
    is_derived: bool = False


@dataclass(frozen=True)
class LessonsView:
    experiment: str
    lessons: list[LessonView]
    truncated: bool = False


@dataclass(frozen=True)
class OutcomeView:
    """`half_width` of the observed 95 % interval."""

    id: int
    experiment: str
    brief: str
    gain: float
    low: float
    high: float
    observed: float
    half_width: float
    covered: bool
    state: str


@dataclass(frozen=True)
class BriefCalibration:
    """`coverage`: share of outcomes within the predicted interval; 0.95 would be well calibrated."""

    brief: str
    n: int
    predicted: float
    observed: float
    rmse: float
    coverage: float
    refuted: int


@dataclass(frozen=True)
class CalibrationView:
    briefs: list[BriefCalibration]
    outcomes: list[OutcomeView]
    truncated: bool = False
