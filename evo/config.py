"""What evo.yaml and recipe.yaml may say, with every default.

Invariant: a default exists here and nowhere else (parameters of a recipe: in its recipe.yaml). The schema is plain
frozen dataclasses, which `evo.validation` checks through pydantic: commands on the hot path read a validated copy
and import none of it (docs/decisions/0001-config-is-dataclasses.md).
Keys are kebab-case in evo.yaml (`max-attempts`), as they stand here in recipe.yaml (`init_from`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from evo.bounds import Ge, Gt, Le, Lt, MinLen
from evo.errors import UsageError, nearest
from evo.lightdata import dataclass, field, fields, is_dataclass
from evo.validation import hints_of, to_key, to_name

Positive = Annotated[float, Gt(0)]
Fraction = Annotated[float, Ge(0), Le(1)]
Count = Annotated[int, Ge(1)]


@dataclass(frozen=True)
class ModelConfig:
    source: str = ""
    """Folder or hub id of the base model; empty when the workspace has none."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    device: Literal["auto", "cpu", "cuda"] = "auto"


@dataclass(frozen=True)
class MetricConfig:
    name: str = "accuracy"
    direction: Literal["max", "min"] = "max"
    range: Annotated[list[float], MinLen(2)] | Literal["none"] = field(default_factory=lambda: [0.0, 1.0])


@dataclass(frozen=True)
class EvalConfig:
    backend: Literal["hf", "vllm", "command"] = "hf"
    read: Literal["results", "inspect", "lm-eval"] = "results"
    """backend command: what it leaves behind; `results` is one line of JSON for each item."""
    mode: Literal["items", "scalar"] = "items"
    """scalar: the command yields one number a call, is called `repeats` times, and nothing is ever certified by it."""
    repeats: Annotated[int, Ge(3), Le(100)] = 3
    scorer: str = "exact"
    pattern: str = ""
    """scorer regex: the first group (or the whole match) is the answer."""
    choices: list[str] = field(default_factory=list)
    """scorer choice: the legal answers; empty means the targets that occur."""
    max_new_tokens: Count = 256
    temperature: Annotated[float, Ge(0)] = 0.0
    top_p: Annotated[float, Gt(0), Le(1)] = 1.0
    samples: Count = 1
    seed: int = 42
    batch_size: Count = 64
    stop: list[str] = field(default_factory=list)
    forbidden: list[str] = field(default_factory=list)
    """Regular expressions: an output that matches one is wrong and blocks a commit."""
    command: str = ""
    files: list[str] = field(default_factory=list)
    timeout: str = "2h"


@dataclass(frozen=True)
class SplitsConfig:
    mid: Annotated[int, Ge(0), Le(64)] = 32
    seed: int = 42


@dataclass(frozen=True)
class SearchConfig:
    """DESIGN §9; for scores in [0, 1]."""

    policy: str = "tree-ucb"
    beta: Annotated[float, Ge(0)] = 1.0
    kappa: Annotated[float, Ge(0)] = 0.004
    kappa_cost: Annotated[float, Ge(0)] = 0.003
    mu: float = -0.002
    tau: Positive = 0.018
    seed: int = 42


@dataclass(frozen=True)
class GateConfig:
    """DESIGN §8. `sigma_run` is the run-to-run standard deviation; auto: .007 supervised, .015 RL, or measured."""

    mode: Literal["certify", "every-run", "strict", "none"] = "certify"
    alpha: Annotated[float, Gt(0), Lt(1)] = 0.05
    min_gain: Annotated[float, Ge(0)] = 0.0
    looks: Annotated[int, Ge(1)] = 20
    sigma_run: Annotated[float, Ge(0)] | Literal["auto"] = "auto"
    claim: Literal["weights", "recipe"] = "weights"
    checks: list[str] = field(default_factory=list)
    """Commands that must succeed before the held-out question is asked; `{model}` is the folder of the weights."""
    checks_timeout: str = "10m"
    """Of each."""


@dataclass(frozen=True)
class GuardConfig:
    """A further suite that a commit must not harm (DESIGN §8, "Guards"). What is asked, and how it is graded:

    - `items` with a `scorer`: the model answers them without the workspace's system prompt, greedily;
    - `items` with a `command`: it is called as `eval.command` is;
    - `items` alone: by the workspace's own evaluation;
    - `command` alone: another measure of the workspace's own dev and held-out items.
    A guard's scorer or command gives numbers from 0 to 1, and more is better.
    """

    name: Annotated[str, MinLen(1)]
    items: str = ""
    """A JSONL file, or the name of a suite that comes with evo: `basics`."""
    scorer: str = ""
    pattern: str = ""
    choices: list[str] = field(default_factory=list)
    max_new_tokens: Count = 64
    command: str = ""
    files: list[str] = field(default_factory=list)
    margin: Positive = 0.03
    """How much worse than exp_0000 a committed experiment may be: the 95 % lower bound stays above −margin."""
    mode: Literal["required", "report"] = "required"
    """report: shown on dev, and no part of a commit."""


@dataclass(frozen=True)
class IdentityConfig:
    max_delta: Annotated[float, Gt(0), Lt(1)] = 0.7
    """How far training may move full weights, as a share of their size. Another model of this shape is 1 or more away
    (√2 where it is of the same size), the wildest honest run of the demo .36 (docs/decisions/0011)."""


@dataclass(frozen=True)
class ServerConfig:
    """The warm inference server, one for each workspace and base model."""

    python: str = ""
    """Interpreter of the environment that vLLM is installed in; empty: none."""
    gpu_memory: Annotated[float, Gt(0), Le(1)] = 0.3
    """Share of a GPU's memory that the server may take; training has the rest."""
    idle: str = "10m"
    max_loras: Count = 4
    max_lora_rank: Count = 64
    max_length: Count = 4096


@dataclass(frozen=True)
class RunConfig:
    executor: str = "local"
    slots: Count = 1
    timeout: str = "12h"
    grace_s: Annotated[float, Ge(0)] = 10.0
    stale_after_s: Positive = 60.0
    smoke: Literal["auto", "never"] = "auto"
    """auto: a recipe that this workspace has not run before is tried on ten examples first."""


@dataclass(frozen=True)
class EnvConfig:
    pass_: list[str] = field(default_factory=list)
    """Names of environment variables that a run may see beside the ordinary ones."""


@dataclass(frozen=True)
class IsolationConfig:
    """What keeps a training run from sealed items, database and the rest of the machine."""

    level: Literal["auto", "bwrap", "landlock", "none"] = "auto"
    """The strongest rung to use; auto: the strongest that works here."""
    require: Literal["bwrap", "landlock", "none"] = "none"
    """A run under less is refused."""
    network: bool = True
    read: list[str] = field(default_factory=list)
    """Files and folders that a run may read beside its own, absolute or relative to the workspace."""
    write: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class LeaksConfig:
    """What counts as an evaluation item in training data (DESIGN §7)."""

    block: Annotated[float, Gt(0), Le(1)] = 0.5
    """Share of an item's 13-word (or 50-character) n-grams from which a line contaminates."""
    warn: Annotated[float, Gt(0), Le(1)] = 0.2
    similar: Annotated[float, Gt(0), Le(1)] = 0.8
    """Jaccard index of the word sets from which a line is a near-duplicate."""
    answer_chars: Count = 20
    """An answer of fewer characters is no evidence."""
    allow: list[str] | Annotated[int, Ge(0)] = field(default_factory=list)
    """Ids of items that may occur, or how many of them; recorded on the experiment when it is used."""
    embedding: str = ""
    """Folder of a local model whose embeddings are compared too, for the report only."""


@dataclass(frozen=True)
class LoopConfig:
    """Where `evo loop` stops when it is told nothing else, and what it does after rounds without gain."""

    target: float | None = None
    """A certified score that ends it, within `metric.range`."""
    max_iterations: Annotated[int, Ge(1), Le(100)] = 10
    """Experiments, where no other end is named."""
    lr_decay: Annotated[float, Gt(0), Le(1)] = 0.8
    """The best is tried again at its learning rate times this, where a run since fell below its parent; 1: never."""
    augment_per_failure: Annotated[int, Ge(0)] = 20
    """Training rows of a weak slice that are drawn twice, for each dev item of it that is wrong; 0: none."""
    update_recipe: bool = False
    """The values of a certified experiment become the defaults of the workspace's own recipe; comments stay."""
    snapshot_adapters: bool = True
    """An iteration's commit holds the adapter that its run has left, of up to 10 MB."""


@dataclass(frozen=True)
class BudgetConfig:
    """Hard caps on what the whole workspace may spend, from its first day on; none: no cap."""

    gpu_seconds: Positive | None = None
    wall_clock: str = ""
    """Time that trainings and evaluations take, summed: `8h`. Empty: no cap."""
    attempts: Count | None = None
    """Of all experiments together; the baseline trains nothing and is none."""
    llm_tokens: Count | None = None
    usd: Positive | None = None


@dataclass(frozen=True)
class DiagnoseConfig:
    chance: float | None = None
    """What guessing scores; null: one in so many legal answers, where the scorer is choice."""


@dataclass(frozen=True)
class IdeasConfig:
    """Who proposes beside the rules and the knowledge base, and what it may ask."""

    source: str = "kb"
    """kb: nobody; anthropic: a model with web search, by ANTHROPIC_API_KEY."""
    model: str = "claude-sonnet-5-5"
    network: Literal["auto", "off"] = "auto"
    """auto: arXiv, Hugging Face and GitHub are asked unless HF_HUB_OFFLINE is set; off: nobody is, at any time."""
    max_searches: Annotated[int, Ge(0), Le(20)] = 4
    """Web searches of one research."""
    max_tokens: Annotated[int, Ge(1024), Le(64_000)] = 8192
    """Of one answer of the model, its thinking included."""
    timeout: str = "5m"
    """For one answer of the model."""


@dataclass(frozen=True)
class HubConfig:
    repo: str = ""
    private: bool = True


@dataclass(frozen=True)
class EvoConfig:
    """evo.yaml."""

    name: str = ""
    max_attempts: Annotated[int, Ge(1), Le(100)] = 3
    system_prompt: str = "system_prompt.md"
    chat_template: str = ""
    """`FILE` or `from:MODEL`; empty: the base model's own."""
    data_api: Literal["none", "local", "hosted"] = "none"
    track: Literal["auto", "wandb", "trackio", "mlflow", "none"] = "auto"
    model: ModelConfig = field(default_factory=ModelConfig)
    metric: MetricConfig = field(default_factory=MetricConfig)
    eval: EvalConfig = field(default_factory=EvalConfig)
    splits: SplitsConfig = field(default_factory=SplitsConfig)
    search: SearchConfig = field(default_factory=SearchConfig)
    gate: GateConfig = field(default_factory=GateConfig)
    guards: list[GuardConfig] = field(default_factory=list)
    identity: IdentityConfig = field(default_factory=IdentityConfig)
    server: ServerConfig = field(default_factory=ServerConfig)
    run: RunConfig = field(default_factory=RunConfig)
    env: EnvConfig = field(default_factory=EnvConfig)
    isolation: IsolationConfig = field(default_factory=IsolationConfig)
    leaks: LeaksConfig = field(default_factory=LeaksConfig)
    loop: LoopConfig = field(default_factory=LoopConfig)
    diagnose: DiagnoseConfig = field(default_factory=DiagnoseConfig)
    budget: BudgetConfig = field(default_factory=BudgetConfig)
    ideas: IdeasConfig = field(default_factory=IdeasConfig)
    hub: HubConfig = field(default_factory=HubConfig)


@dataclass(frozen=True)
class ParamSpec:
    """One typed, ranged parameter of a recipe. `above`/`below` are exclusive bounds, `min`/`max` inclusive.

    `alias` is a short name for the command line (`lr`). A parameter whose default is null may stay null, unless it is
    `required`.
    """

    type: Literal["float", "int", "str", "bool", "list"]
    default: float | int | str | bool | list[str] | None = None
    min: float | None = None
    max: float | None = None
    above: float | None = None
    below: float | None = None
    choices: list[str | int | float] = field(default_factory=list)
    alias: str = ""
    required: bool = False
    tune: bool = True
    """Whether `evo loop` may move it: false for what changes cost or comfort and not quality."""
    search: list[float | int] = field(default_factory=list)
    """Where `evo loop` looks: two numbers are a range, more are the values. Without it, all that is legal."""
    doc: str = ""


@dataclass(frozen=True)
class SourceSpec:
    """One part of a data mix: `n` lines (all when null), drawn `weight` times as often."""

    source: str
    weight: Positive = 1.0
    n: Count | None = None
    map: dict[str, str] = field(default_factory=dict)
    """New key -> old key, for rows whose fields have other names."""


@dataclass(frozen=True)
class DataSpec:
    train: list[SourceSpec] = field(default_factory=list)


@dataclass(frozen=True)
class RewardSpec:
    """One term of an RL reward, weighted and logged apart. Exactly one of the kinds below is given."""

    name: Annotated[str, MinLen(1)]
    weight: float = 1.0
    scorer: str = ""
    """`workspace`: what the model is measured by; else the name of a built-in scorer."""
    file: str = ""
    """A Python file of the recipe with `reward(expected, actual) -> float`."""
    model: str = ""
    """Folder of a sequence classifier whose first logit is the reward."""
    format: str = ""
    """A regular expression: 1 for a completion that matches it as a whole, else 0."""
    max_length: Count | None = None
    """Characters: 0 up to here, falling to -1 at twice as many."""


@dataclass(frozen=True)
class ResourceSpec:
    gpus: Annotated[int, Ge(0)] = 0
    processes: Annotated[int, Ge(0), Le(64)] = 0
    """Of a multi-process launch; 0: one for each GPU."""
    hours: Annotated[float, Ge(0)] = 0.0


@dataclass(frozen=True)
class MidEvalSpec:
    every: Count | None = None
    patience: Count = 2
    """Mid-evaluations in a row without improvement that end a run; while all are the worst there is, none counts."""


@dataclass(frozen=True)
class RecipeConfig:
    """recipe.yaml. A recipe without `train.py` is legal only where its `params` hold an `argv`."""

    name: Annotated[str, MinLen(1)]
    technique: Annotated[str, MinLen(1)]
    reward_shape: Literal["demonstrations", "pairs", "verifiable", "scorer", "corpus", "any"] = "any"
    description: str = ""
    init_from: str = "base"
    data: DataSpec = field(default_factory=DataSpec)
    rewards: list[RewardSpec] = field(default_factory=list)
    params: dict[str, ParamSpec] = field(default_factory=dict)
    resources: ResourceSpec = field(default_factory=ResourceSpec)
    launch: Literal["python", "accelerate", "torchrun"] = "python"
    mid_eval: MidEvalSpec | None = None
    fidelity: Annotated[float, Gt(0), Le(1)] | None = None


def config_keys(schema: type[Any] = EvoConfig, prefix: str = "") -> Iterator[str]:
    """Every dotted key of the schema, leaves only."""
    hints = hints_of(schema)
    for item in fields(schema):
        if is_dataclass(hints[item.name]):
            yield from config_keys(hints[item.name], f"{prefix}{to_key(item.name)}.")
        else:
            yield prefix + to_key(item.name)


def get_key(config: EvoConfig, key: str) -> Any:
    """The value at a dotted key. UsageError names the nearest key."""
    if key not in set(config_keys()):
        raise UsageError(f"no setting named {key!r}", hint=nearest(key, config_keys()))
    value: Any = config
    for part in key.split("."):
        value = getattr(value, to_name(part))
    return value
