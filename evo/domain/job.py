"""What crosses the process borders of one attempt, as files in its folder.

    job.json       ops -> supervisor and recipe: the stages to run, and what the recipe may know
    eval/job.json  ops -> evaluator: which weights, which items, how to grade
    trained.json   supervisor -> supervisor, ops: training is over, with the token
    result.json    supervisor -> ops: how the attempt ended, with the token
    eval/results.jsonl, eval/summary.json    evaluator -> ops
    eval/mid.jsonl evaluator -> ops: the same weights on the mid slice
    eval/identity.json    evaluator -> ops: whether the weights are those of this run, before any of them is loaded
    mid/job.json   ops -> mid-evaluator: an EvalJob without weights
    mid/000200.want.json    recipe -> mid-evaluator: {"step", "model"}
    mid/000200.json         mid-evaluator -> recipe, supervisor, ops: a `MidAnswer`
    mid/000200.jsonl        mid-evaluator -> evaluator, trackers: a line for each item, an ItemResult with its `prompt`
    mid/down.json           supervisor -> recipe: no mid-evaluation is to be had any more, and why
    opened.json    supervisor -> ops: {"files", "complete"}, the data files that training opened
    stop           ops -> recipe, supervisor: end training now, keep the best checkpoint
    checkpoints/   recipe: what a second start resumes from

Invariant: the token is in no file that a training process can read before it ends; a result with another token is
not read further. Paths are absolute.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from evo.domain.item import Split
from evo.lightdata import dataclass, field


@dataclass(frozen=True)
class ProcessId:
    """A process that can be told from a later one with the same pid. `start`: field 22 of /proc/PID/stat."""

    host: str
    boot_id: str
    pid: int
    start: int


@dataclass(frozen=True)
class Stage:
    """One process that the supervisor starts. Its standard output and error go to `log`."""

    argv: list[str]
    cwd: str
    env: dict[str, str]
    log: str
    timeout_s: float | None = None
    rules: dict[str, list[str]] | None = None
    """Landlock rules that it starts under, as `evo.runner.sandbox.landlock` has them; None: none."""
    is_wrapped: bool = False
    """`argv` starts bubblewrap, which starts the rest of it."""
    module: str = ""
    """Its `main`, given the last word of `argv`, does what `argv` does: a supervisor that is a process of its own calls
    it in a fork, where starting Python and importing would be most of the stage."""


@dataclass(frozen=True)
class MidFacts:
    """Mid-evaluation of one run. `every`: steps; None: the sooner of a quarter epoch and 200."""

    every: int | None = None
    patience: int = 2
    items: int = 0
    worst: float | None = None
    """The lowest mean there is, in the metric's own direction; None where the metric has no bound."""


@dataclass(frozen=True)
class ScorerFacts:
    """What builds the workspace's scorer in a training process, so that it is trained on what it is measured by."""

    name: str
    options: dict[str, object]
    pinned_dir: str
    """Where pinned copies of scorer.py and its files lie."""
    pins: dict[str, str] | None = None
    """As `EvalJob.pins`; so are the fields below."""
    forbidden: list[str] = field(default_factory=list)
    worst: float | None = 0.0
    low: float | None = 0.0
    high: float | None = 1.0
    stop: list[str] = field(default_factory=list)
    """Texts that an answer ends at."""
    direction: Literal["max", "min"] = "max"


@dataclass(frozen=True)
class ServerFacts:
    """The warm inference server that evaluations share whose facts are equal."""

    folder: str
    """As `evo.domain.service` describes it; it goes with the workspace, and the server with it."""
    python: str
    """Interpreter of the environment that vLLM is installed in."""
    base_model: str
    weights: str
    """Hash of the base model's weights, as it was pinned."""
    dtype: str = "float32"
    device: str = "auto"
    gpu_memory: float = 0.3
    idle_s: float = 600.0
    max_loras: int = 4
    max_lora_rank: int = 64
    max_length: int = 4096


@dataclass(frozen=True)
class RunFacts:
    """What a recipe may know: `evo.recipe.current()` reads it."""

    experiment: str
    attempt: int
    seed: int
    params: dict[str, object]
    data: dict[str, str]
    """Role (`train`) -> path of the resolved JSONL."""
    output_dir: str
    cache_dir: str
    base_model: str | None = None
    seed_artifact: str | None = None
    """Folder of weights to start from: the parent's output, or the base model."""
    system_prompt: str = ""
    chat_template: str | None = None
    init_from: str = "base"
    mid: MidFacts | None = None
    """None: this run is not evaluated on the way."""
    rewards: list[dict[str, object]] = field(default_factory=list)
    """`RewardSpec`s as they stand in recipe.yaml, paths of `file` and `model` resolved."""
    scorer: ScorerFacts | None = None
    is_smoke: bool = False
    """A trial on about ten examples: a handful of steps are enough."""
    server: ServerFacts | None = None
    """The warm inference server, for pages that draw answers; None: there is none."""
    fidelity: float | None = None
    """Share of the steps to train in this partial run; None: all of them."""


@dataclass(frozen=True)
class Job:
    """`train` is None where only an evaluation is owed (the baseline, a resumed evaluation)."""

    experiment: str
    attempt: int
    folder: str
    train: Stage | None
    evaluate: Stage | None
    run: RunFacts
    mid: Stage | None = None
    """The process that answers mid-evaluations while training runs; started when the first is wanted.

    `timeout_s` is the limit of one answer."""
    skips_regressed: bool = False
    """The evaluation is left out where the best checkpoint is clearly worse than the parent on the mid slice."""
    stop_grace_s: float = 60.0
    """How long training may take to end by itself after `evo stop`."""
    controller: ProcessId | None = None
    """The supervisor ends the whole tree when this process goes away; None for a detached run."""
    gpus: int = 0
    slots: int = 1
    slots_dir: str = ""
    grace_s: float = 10.0
    most_s: float | None = None
    """What a budget leaves to all stages together; None: each has its own limit alone."""
    no_output_is_failure: bool = True
    isolation: str = "none"
    """What `train.argv` is wrapped in: copied into the result."""
    watched: list[str] = field(default_factory=list)
    """Folders and files of which opened.json names those that training opened."""
    schema: str = "evo-job/1"


@dataclass(frozen=True)
class Result:
    """`outcome` is `trained` when training is good and the evaluation is still owed."""

    token: str
    outcome: Literal["ok", "failed", "timed_out", "killed", "trained"]
    stage: Literal["train", "evaluate"]
    failure: str = ""
    message: str = ""
    log: str = ""
    exit_code: int | None = None
    signal: int | None = None
    train_seconds: float | None = None
    eval_seconds: float | None = None
    isolation: str = "none"
    ended_at: str = ""
    schema: str = "evo-result/1"


@dataclass(frozen=True)
class MidPart:
    """The mid slice, which an evaluation scores beside its own items, for children to be compared with.

    Where a mid-evaluation in `answers` was of the same weights, its results are taken."""

    items: str
    items_sha256: str
    answers: str


@dataclass(frozen=True)
class MidAnswer:
    """One mid-evaluation. `delta`: paired difference to the parent, None where that has no mid results."""

    step: int
    mean: float
    se: float
    n: int
    seconds: float
    delta: float | None = None
    delta_se: float | None = None
    is_best: bool = False
    """Better than all before it, in the metric's direction: the last one that says so is the best of the run."""
    is_regressed: bool = False
    """Worse than the parent by more than two standard errors."""
    weights_hash: str = ""
    """Of a best one."""


@dataclass(frozen=True)
class Lineage:
    """What the weights of a run must have come from (`evo.evaluate.identity`)."""

    base: str | None = None
    """Folder of the pinned base model; None: the workspace has none, and the weights are files of any kind."""
    base_hash: str = ""
    """`weights_hash` of the base; empty: to be worked out."""
    base_stamp: list[list[str | int]] = field(default_factory=list)
    """The base's files as they were when they were last known to be those that were pinned."""
    names: list[str] = field(default_factory=list)
    """What an adapter may call its base."""
    start: str | None = None
    """Folder of the weights that training started from; None: the base's."""
    start_hash: str = ""
    """`weights_hash` of it when it was scored; empty: unchecked."""
    max_delta: float = 0.7
    is_declared: bool = False
    """Trained elsewhere: what an adapter says of its base cannot be looked up here."""


@dataclass(frozen=True)
class EvalJob:
    """One evaluation: these weights on these items."""

    split: Split
    eval_hash: str
    backend: str
    items: str
    """JSONL of normalised rows, every one with an `id`."""
    model: str
    """Folder of the weights: full, a PEFT adapter, the base model, or whatever a command reads."""
    base_model: str | None
    out_dir: str
    pinned_dir: str
    """Pinned copies of scorer.py and of the evaluation command's files: its working directory."""
    scorer: str
    pins: dict[str, str] | None = None
    """Name in `pinned_dir` -> sha256: nothing else that lies there is used. None: all of it is, unchecked."""
    items_sha256: str = ""
    """Of the file `items`; empty: unchecked."""
    scorer_options: dict[str, object] = field(default_factory=dict)
    generation: dict[str, object] = field(default_factory=dict)
    """max_new_tokens, temperature, top_p, samples, seed, batch_size, stop."""
    forbidden: list[str] = field(default_factory=list)
    worst: float | None = 0.0
    """The score of a forbidden output: `low`, or `high` where less is better. None where the range is open."""
    system_prompt: str = ""
    chat_template: str | None = None
    """The template's text, not a path; None: the base model's own."""
    command: str = ""
    read: str = "results"
    """Who takes in what the command leaves: a member of the family `reader`."""
    is_scalar: bool = False
    """The command yields one number a call, and an item is a call."""
    metric: str = ""
    """Which of a tool's values is the score, where there are several."""
    low: float | None = 0.0
    high: float | None = 1.0
    keep_output: bool = True
    """False for held-out and vault: only hashes of outputs are stored."""
    device: str = "auto"
    dtype: str = "float32"
    direction: Literal["max", "min"] = "max"
    reference: dict[str, float] = field(default_factory=dict)
    """Mid-evaluation: item -> the parent's result."""
    mid: MidPart | None = None
    server: ServerFacts | None = None
    """Backend vllm: whom to ask."""
    suites: list[EvalJob] = field(default_factory=list)
    """Guards, scored by the same process with the model loaded once, each into an `out_dir` of its own."""
    lineage: Lineage | None = None
    """Given: the weights are looked at before they count. None for the base model itself, and on sealed items, where
    they must have the hash of weights that were looked at."""
    schema: str = "evo-eval/1"


@dataclass(frozen=True)
class EvalSummary:
    """Written last, so that its presence means that results.jsonl is whole."""

    eval_hash: str
    split: Split
    n: int
    """Lines of results.jsonl: items times samples."""
    weights_hash: str
    seconds: float
    engine: str
    schema: str = "evo-eval-summary/1"


class AttemptFolder:
    """Named paths of `.evo/attempts/exp_0007/1/`; nothing else builds them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.job = root / "job.json"
        self.result = root / "result.json"
        self.trained = root / "trained.json"
        self.supervisor = root / "supervisor.json"
        self.heartbeat = root / "heartbeat"
        self.cancel = root / "cancel"
        self.metrics = root / "metrics.jsonl"
        self.artifacts = root / "artifacts.json"
        self.train_log = root / "train.log"
        self.eval_log = root / "eval.log"
        self.supervisor_log = root / "supervisor.log"
        self.output = root / "output"
        self.traces = root / "traces"
        self.home = root / "home"
        self.tmp = root / "tmp"
        self.stop = root / "stop"
        self.checkpoints = root / "checkpoints"
        self.mid_dir = root / "mid"
        self.mid_job = root / "mid" / "job.json"
        self.mid_log = root / "mid.log"
        self.eval_dir = root / "eval"
        self.eval_job = root / "eval" / "job.json"
        self.eval_results = root / "eval" / "results.jsonl"
        self.eval_summary = root / "eval" / "summary.json"
        self.eval_mid = root / "eval" / "mid.jsonl"
        self.eval_identity = root / "eval" / "identity.json"
