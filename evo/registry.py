"""The families of evo and their members: name -> "module:attribute".

A member is imported when it is asked for, so that a list of names costs nothing. Strangers join through the
entry-point group `evo.<family>`; a built-in name cannot be taken over.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

from evo.errors import MissingExtra, NotFound, nearest

if TYPE_CHECKING:
    from importlib.metadata import EntryPoints

TABLES: dict[str, dict[str, str]] = {
    "policy": {
        "tree-ucb": "evo.search.policies.tree_ucb:TreeUcb",
        "greedy": "evo.search.policies.greedy:Greedy",
        "argmax": "evo.search.policies.argmax:Argmax",
        "top-k": "evo.search.policies.top_k:TopK",
        "epsilon-greedy": "evo.search.policies.epsilon_greedy:EpsilonGreedy",
        "softmax": "evo.search.policies.softmax:Softmax",
        "pareto-per-item": "evo.search.policies.pareto:ParetoPerItem",
        "uct": "evo.search.policies.uct:Uct",
        "thompson": "evo.search.policies.thompson:Thompson",
        "iid": "evo.search.policies.iid:Iid",
        "asha": "evo.search.policies.asha:Asha",
    },
    "scorer": {
        "exact": "evo.evaluate.scorers.exact:Exact",
        "json_cmd": "evo.evaluate.scorers.json_cmd:JsonCommand",
        "regex": "evo.evaluate.scorers.regex:Regex",
        "choice": "evo.evaluate.scorers.choice:Choice",
        "math": "evo.evaluate.scorers.math:Math",
        "rules": "evo.evaluate.scorers.rules:Rules",
        "custom": "evo.evaluate.scorers.custom:Custom",
    },
    "measure": {
        "rows": "evo.evaluate.measure:RowMeasure",
    },
    "sampler": {
        "server": "evo.evaluate.server.sampler:ServerSampler",
    },
    "backend": {
        "hf": "evo.evaluate.backends.hf:HfBackend",
        "vllm": "evo.evaluate.backends.vllm:VllmBackend",
        "command": "evo.evaluate.backends.command:CommandBackend",
    },
    "reader": {
        "results": "evo.evaluate.readers.results:read",
        "inspect": "evo.evaluate.readers.inspect:read",
        "lm-eval": "evo.evaluate.readers.lm_eval:read",
    },
    "executor": {
        "local": "evo.runner.executors.local:LocalExecutor",
        "inline": "evo.runner.executors.inline:InlineExecutor",
    },
    "tracker": {
        "wandb": "evo.track.wandb:WandbTracker",
        "trackio": "evo.track.trackio:TrackioTracker",
        "mlflow": "evo.track.mlflow:MlflowTracker",
    },
    "source": {
        "anthropic": "evo.ideas.sources.anthropic:AnthropicSource",
    },
    "literature": {
        "arxiv": "evo.ideas.sources.arxiv:Arxiv",
        "huggingface": "evo.ideas.sources.huggingface:HuggingFace",
        "github": "evo.ideas.sources.github:GitHub",
        "blog": "evo.ideas.sources.blog:Blog",
    },
}

EXTRAS = {("backend", "hf"): "train", ("backend", "vllm"): "train"}
"""Members that import libraries of an extra, where they do not say so themselves."""


def names(family: str) -> list[str]:
    """All names of a family, built-ins first."""
    strangers = [point.name for point in _strangers(family)]
    return list(TABLES[family]) + [name for name in strangers if name not in TABLES[family]]


def problem(family: str, name: str) -> str:
    """Why there is no such member, with the nearest one; empty when there is. Imports no member."""
    if name in TABLES[family] or name in (known := names(family)):
        return ""
    return f"no {family} named {name!r}; {nearest(name, known)}"


def load(family: str, name: str) -> Any:
    """The member `name` of `family`; NotFound names the nearest one, MissingExtra the pip line."""
    target = TABLES[family].get(name)
    if target is not None:
        module, _, attribute = target.partition(":")
        with needing(EXTRAS.get((family, name), "")):
            return getattr(import_module(module), attribute)
    for point in _strangers(family):
        if point.name == name:
            return point.load()
    raise NotFound(f"no {family} named {name!r}", hint=nearest(name, names(family)))


@contextmanager
def needing(extra: str) -> Iterator[None]:
    """What is imported in the block needs the libraries of `extra`: MissingExtra where one of them is not here."""
    try:
        yield
    except ModuleNotFoundError as error:
        if not extra or error.name is None or error.name.partition(".")[0] == "evo":
            raise
        raise MissingExtra(error.name, extra) from None


def _strangers(family: str) -> EntryPoints:
    from importlib.metadata import entry_points  # 8 ms, which a built-in name does not pay

    return entry_points(group=f"evo.{family}")
