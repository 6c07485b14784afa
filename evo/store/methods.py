"""What an experiment was made of, in words: dataset, method, constraints, hyperparameters.

Invariant: made from what is stored; what nobody recorded is said to be missing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from evo.domain.experiment import DECLARED, Experiment
from evo.store import datasets

NAME = "methodlog.md"
NONE_STATED = "none stated"
NOTHING = "none recorded"


def page_of(db: sqlite3.Connection, experiment: Experiment, *, constraints: str) -> str:
    """methodlog.md of an attempt that begins now: a line each."""
    return "\n".join(
        [
            f"# Method log of {experiment.id}",
            f"- dataset: {data_of(db, experiment)}",
            f"- method: {method_of(experiment)}",
            f"- constraints: {on_one_line(constraints)}",
            f"- hyperparameters: {hyperparameters(experiment)}",
            "",
        ]
    )


def on_one_line(constraints: str) -> str:
    return " / ".join(constraints.split("\n")) or NONE_STATED


def data_of(db: sqlite3.Connection, experiment: Experiment) -> str:
    used = datasets.of(db, experiment.id)
    return "; ".join(f"{d.source} ({d.lines} lines, sha256 {d.sha256[:8]})" for _, d in used) or NOTHING


def method_of(experiment: Experiment) -> str:
    name = (
        experiment.technique
        if experiment.technique == experiment.recipe
        else f"{experiment.technique} ({experiment.recipe})"
    )
    if experiment.origin == DECLARED:
        return f"{name}, trained elsewhere"
    start = {"base": "the base model", "parent": experiment.parent}.get(experiment.start_from, experiment.start_from)
    return f"{name} from {start}"


def hyperparameters(experiment: Experiment) -> str:
    return told({**experiment.params, "seed": experiment.seed})


def told(params: Mapping[str, object]) -> str:
    return ", ".join(f"{name}={value}" for name, value in params.items() if value is not None)
