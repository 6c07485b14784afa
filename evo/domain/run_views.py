"""Views of a run before and while it trains: the trial before it, and what it says of itself on the way.

Invariant: nothing here is a score, except where it is called one; lists are bounded.
"""

from __future__ import annotations

from evo.domain.views import IntervalView, ScoreView
from evo.lightdata import dataclass, field


@dataclass(frozen=True)
class FaultView:
    """`reason`: out_of_memory, no_output, dtype, template, tokenizer, reward, training, evaluation, score."""

    reason: str
    message: str
    hint: str = ""


@dataclass(frozen=True)
class SmokeView:
    """A trial of a few steps. `score` and `base` are means on the same few dev items and rank nothing."""

    id: str
    passed: bool
    seconds: float
    rows: int
    score: ScoreView | None
    base: float | None
    faults: list[FaultView] = field(default_factory=list)
    log: str = ""
    """Of the stage that failed; empty where the trial passed."""
    message: str = ""


@dataclass(frozen=True)
class MidView:
    """The mid slice, scored on the way: it can end a run and never ranks a node. `delta`: to the parent, paired."""

    step: int
    mean: float
    se: float
    n: int
    delta: float | None = None
    delta_se: float | None = None
    is_best: bool = False


@dataclass(frozen=True)
class VitalsView:
    """What a run says of itself while it trains: the last finite value of each metric that it logs.

    `total`: steps to do, by its parameters. `ends_in_s`: at the pace of the last steps, to the end of training.
    """

    step: int | None = None
    total: int | None = None
    epoch: float | None = None
    loss: float | None = None
    reward: float | None = None
    reward_std: float | None = None
    kl: float | None = None
    entropy: float | None = None
    learning_rate: float | None = None
    grad_norm: float | None = None
    mean_token_accuracy: float | None = None
    completion_length: float | None = None
    tokens_per_second: float | None = None
    gpu_memory_gb: float | None = None
    mids: list[MidView] = field(default_factory=list)
    """By step, the last ones."""
    heartbeat_age_s: float | None = None
    ends_in_s: float | None = None


@dataclass(frozen=True)
class WatchedView:
    """One experiment at work. `stage`: queued, training, evaluating, finished, or quiet: it is not heard of."""

    id: str
    attempt: int
    stage: str
    seconds: float
    hypothesis: str
    vitals: VitalsView


@dataclass(frozen=True)
class WatchView:
    name: str
    experiments: int
    running: list[WatchedView]
    trained: list[str] = field(default_factory=list)
    """Experiments whose evaluation is owed."""


@dataclass(frozen=True)
class EndedView:
    """An experiment that has just stopped being at work."""

    id: str
    stage: str
    state: str
    score: ScoreView | None


@dataclass(frozen=True)
class SliceDeltaView:
    """The paired difference to the parent on the dev items of one slice."""

    slice: str
    n: int
    delta: IntervalView


@dataclass(frozen=True)
class AdviceView:
    reading: str
    fix: str


@dataclass(frozen=True)
class ReadingsView:
    """How the scored attempt was trained. `train_score`: the workspace's own measure as a reward, at the end.

    `reward_saturation`: where that lies in the metric's range, 0 to 1; `generalization_gap`: it minus the dev score.
    """

    train_score: float | None
    reward_saturation: float | None
    generalization_gap: float | None
    per_slice_delta: list[SliceDeltaView] = field(default_factory=list)
    end_of_training: dict[str, float] = field(default_factory=dict)
    advice: list[AdviceView] = field(default_factory=list)
