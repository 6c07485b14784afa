"""The best experiment, and its score without what it owes to having been chosen.

Invariant: what the last writer kept is read; only where it is out of date (a discard) anything is worked out anew.
"""

from __future__ import annotations

from importlib import import_module

from evo.domain.experiment import ROOT, Experiment
from evo.session import Session
from evo.store import experiments, meta, nodes


def best_of(session: Session) -> tuple[str | None, str]:
    """The best experiment, None before the first score, and what makes it the best.

    The last writer has kept it; where it could not (killed before), the highest recorded gain stands in.
    """
    epoch = session.epoch
    if epoch is None or experiments.get(session.db, ROOT).score_mean is None:
        return None, "posterior"
    kept = meta.get(session.db, "best")
    if kept is not None and kept["version"] == meta.get(session.db, "tree_version"):
        return str(kept["id"]), "posterior"
    return nodes.best(session.db, epoch) or ROOT, "dev gain"


def corrected(session: Session, experiment: Experiment) -> float | None:
    """Score less optimism, in the metric's own units; None but for the best, and for the base, which nobody chose."""
    is_sample = session.config.eval.mode != "scalar"
    if not is_sample or experiment.score_mean is None or experiment.id == ROOT or best_of(session)[0] != experiment.id:
        return None
    metric = session.metric
    return experiment.score_mean - metric.sign * metric.unit * optimism(session)


def optimism(session: Session) -> float:
    kept = meta.get(session.db, "best")
    if kept is not None and "optimism" in kept and kept["version"] == meta.get(session.db, "tree_version"):
        return float(kept["optimism"])
    return float(import_module("evo.beliefs").best_optimism(session))
