"""Where weights come from: an experiment, the one that it started from, and so on down to the base model.

Invariant: an adopted checkpoint ends the line. What lies behind it was declared by a person, and evo has not seen it.
"""

from __future__ import annotations

import sqlite3

from evo.domain.experiment import DECLARED, ROOT, Experiment, experiment_number
from evo.errors import NotFound
from evo.store import experiments


def start_of(db: sqlite3.Connection, experiment: Experiment) -> tuple[Experiment, str]:
    """The experiment whose weights a run starts from, and the label of an artifact of it (empty: its output).

    From a parent that failed, the nearest ancestor that has weights; exp_0000 stands for the base model.
    """
    source = experiment.start_from
    if source == "parent":
        origin = experiments.get(db, experiment.parent or ROOT)
        while origin.id != ROOT and origin.primary_attempt is None:
            origin = experiments.get(db, origin.parent or ROOT)
        return origin, ""
    identifier, _, label = source.partition(":")
    return experiments.get(db, ROOT if identifier == "base" else identifier), label


def weight_line(db: sqlite3.Connection, id: str) -> list[Experiment]:
    """`id` and whose weights it was trained from, one after the other; last exp_0000 or what was adopted.

    The line ends early where a start is named that is not there.
    """
    line = [experiments.get(db, id)]
    while line[-1].id != ROOT and line[-1].origin != DECLARED:
        try:
            start, _ = start_of(db, line[-1])
        except NotFound:
            break
        if experiment_number(start.id) >= experiment_number(line[-1].id):
            break
        line.append(start)
    return line


def declared(db: sqlite3.Connection, id: str) -> str:
    """What a certificate says of weights that evo did not train from the base up; empty of those that it did."""
    adopted = adopted_in(db, id)
    return f"declared: {adopted} was adopted" if adopted else ""


def adopted_in(db: sqlite3.Connection, id: str) -> str:
    """The adopted experiment whose weights went into `id` (it may be itself); empty where there is none."""
    last = weight_line(db, id)[-1]
    return last.id if last.origin == DECLARED else ""
