"""Views of setting up and upkeep; apart from `views`, whose import is on the way of every command."""

from __future__ import annotations

from evo.domain.views import LooksView
from evo.lightdata import dataclass, field


@dataclass(frozen=True)
class SweptView:
    """`sync`, `wait`, `recover`: ids by what became of them. `owed`: trained, the evaluation is still to come."""

    stored: list[str]
    owed: list[str]
    lost: list[str]
    running: list[str]
    interrupted: list[str] = field(default_factory=list)
    """Training was cut off: `evo run` goes on at the last checkpoint."""
    messages: dict[str, str] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class InitView:
    """`asks_at`, `certifies`: the dev gain at which the gate is asked, and the one it certifies with 80 % power."""

    root: str
    baseline: str
    model: str | None
    model_sha256: str | None
    splits: dict[str, int]
    asks_at: float | None = None
    certifies: float | None = None


@dataclass(frozen=True)
class SettingsView:
    settings: dict[str, object]


@dataclass(frozen=True)
class RecipeRowView:
    name: str
    technique: str
    reward_shape: str
    description: str
    shipped: bool
    folder: str


@dataclass(frozen=True)
class RecipesView:
    recipes: list[RecipeRowView]


@dataclass(frozen=True)
class ParamView:
    name: str
    type: str
    default: object
    range: str
    doc: str
    search: list[float | int | str | bool] = field(default_factory=list)
    """Where `evo loop` looks: two numbers are a range, more are values, and so are texts; empty: nowhere."""


@dataclass(frozen=True)
class RateAdvice:
    """Where to begin a search for the learning rate of a LoRA; None with the reason where nothing is known."""

    model: str
    family: str
    hidden_size: int | None
    lora_learning_rate: float | None
    reason: str


@dataclass(frozen=True)
class RecipeDetailView:
    name: str
    technique: str
    reward_shape: str
    description: str
    init_from: str
    launch: str
    folder: str
    data: list[str]
    params: list[ParamView]
    advice: RateAdvice | None = None


@dataclass(frozen=True)
class RecipeCheckView:
    folder: str
    problems: list[str]


@dataclass(frozen=True)
class DatasetView:
    """`derived`: dev, where it was made from dev failures. `retracted`: why it was taken back; null while it stands."""

    sha256: str
    path: str
    lines: int
    source: str
    transform: str
    parents: list[str]
    derived: str
    retracted: str | None
    experiments: list[str]


@dataclass(frozen=True)
class RetractView:
    """`datasets`: those taken back now. `experiments`: trained on them, or descended from one that was; `voided`:
    those of them whose certificates became void."""

    sha256: str
    path: str
    datasets: list[str]
    experiments: list[str]
    voided: list[str]
    changed: bool


@dataclass(frozen=True)
class GuardSealView:
    """`dev`, `heldout`: how many items; `heldout_sha256`: of the sealed file."""

    name: str
    dev: int
    heldout: int
    heldout_sha256: str
    intact: bool


@dataclass(frozen=True)
class DataStatusView:
    """`intact`: every split and guard is as it was sealed."""

    splits: dict[str, int]
    heldout_hash: str
    looks: LooksView
    asks_at: float
    certifies: float
    plain_copies: list[str]
    intact: bool
    datasets: list[DatasetView] = field(default_factory=list)
    """Registered ones, the newest first."""
    guards: list[GuardSealView] = field(default_factory=list)
    """Those with items of their own."""


@dataclass(frozen=True)
class LeakView:
    """One line of a file that holds an evaluation item; never the item's text."""

    file: str
    line: int
    item: str
    split: str
    method: str
    part: str = "question"
    score: float = 1.0
    severity: str = "block"


@dataclass(frozen=True)
class LeaksView:
    """`blocking`, `warning`: how many of `lines` contaminate what is trained on them, and how many only warn."""

    findings: list[LeakView]
    lines: int
    truncated: bool = False
    blocking: int = 0
    warning: int = 0


@dataclass(frozen=True)
class ScratchView:
    """An evaluation that is no score."""

    what: str
    mean: float
    se: float
    n: int
    out: str
    slices: dict[str, float] = field(default_factory=dict)
    samples: int = 1
    pass_at: float | None = None
    """Of several answers to each item: the share of items with one at the end of the range (pass@samples)."""


@dataclass(frozen=True)
class FindingView:
    severity: str
    what: str
    fix: str


@dataclass(frozen=True)
class FindingsView:
    findings: list[FindingView]


@dataclass(frozen=True)
class GarbageView:
    paths: list[str]
    experiments: list[str]
    bytes: int
    deleted: bool


@dataclass(frozen=True)
class CheckView:
    """One row of `doctor`; `ok` is false where `fix` says what to do."""

    name: str
    ok: bool
    found: str
    fix: str = ""


@dataclass(frozen=True)
class DoctorView:
    checks: list[CheckView]
