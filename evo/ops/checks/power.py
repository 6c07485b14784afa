"""What the gate can show in this workspace, from its own items and its own noise.

Invariant: discordance is measured on dev; of the held-out items only their number is used.
"""

from __future__ import annotations

from typing import NamedTuple

from evo.data import seal
from evo.domain.experiment import ROOT
from evo.domain.gate_views import AskedGainView, NeedView, PowerView
from evo.errors import Refused
from evo.evidence import history_of, rules_of
from evo.gate import asking
from evo.gate.power import ASSUMED, asking_gain, power_of, required_items, smallest_gain
from evo.gate.statistics import LEAST_SEEDS
from evo.ops.judging.heldout import sigma_of
from evo.session import Session
from evo.store import experiments, gate_rows, nodes, results

MOST_PAIRS = 50
GAINS = (0.05, 0.03)


class Pair(NamedTuple):
    """An experiment of this epoch and the last committed one: dev results of the weights that stand for each."""

    experiment: str
    candidate: dict[str, float]
    reference: dict[str, float]


def power(session: Session, gain: float | None = None) -> PowerView:
    """Refused where nothing is sealed. `gain`: in the metric's own units; what it takes to certify it."""
    n_dev, n_heldout = sizes(session)
    unit, gate = session.metric.unit, session.config.gate
    found = pairs(session)
    discordance = sum(discordance_of(session, pair) for pair in found) / len(found) if found else ASSUMED
    sigma, source = noise(session)
    plan = {"discordance": discordance, "sigma_run": sigma}
    history = history_of(session)
    alpha = asking.alpha_of(history, rules_of(session))
    needed = 0.0 if gate.mode == "every-run" else asking.bar(history.failed_zeta)
    search = session.config.search
    of_root = gate_rows.last_committed(session.db) == ROOT
    prior = (search.mu, search.tau)
    asks_at = asking_gain(n_dev, discordance=discordance, sigma_run=sigma, prior=prior, needed=needed, of_root=of_root)
    certifies = smallest_gain(n_heldout, **plan, alpha=alpha) + gate.min_gain

    def items(wanted: float) -> int | None:
        beyond = wanted / unit - gate.min_gain
        return required_items(beyond, **plan, alpha=alpha) if beyond > 0 else None

    def chance(wanted: float) -> float:
        return power_of(wanted / unit - gate.min_gain, n_heldout, **plan, alpha=alpha)

    return PowerView(
        n_dev=n_dev,
        n_heldout=n_heldout,
        discordance=discordance,
        pairs=len(found),
        sigma_run=sigma * unit,
        sigma_source=source,
        alpha=alpha,
        needed=needed,
        asks_at=asks_at * unit,
        certifies=certifies * unit,
        needs=[NeedView(each * unit, items(each * unit)) for each in GAINS],
        asked=None if gain is None else AskedGainView(gain, chance(gain), items(gain)),
    )


def sizes(session: Session) -> tuple[int, int]:
    """Dev and held-out items."""
    splits = seal.read_manifest(session.layout.root).splits
    n_dev, n_heldout = (splits[name].n if name in splits else 0 for name in ("dev", "heldout"))
    if not n_dev or not n_heldout:
        raise Refused("nothing is held out: no certificate is possible here", hint="evo data seal --gold FILE")
    return n_dev, n_heldout


def pairs(session: Session, most: int = MOST_PAIRS) -> list[Pair]:
    """The newest scored experiments of this epoch against the last committed one; copies of it say nothing."""
    epoch, committed = session.epoch, gate_rows.last_committed(session.db)
    if epoch is None:
        return []
    base = results.item_means(session.db, committed, eval_hash=epoch)
    found: list[Pair] = []
    for row in reversed(nodes.light_nodes(session.db)):
        if len(found) == most:
            break
        if row.gain is None or row.epoch != epoch or row.id in (ROOT, committed):
            continue
        means = results.item_means(session.db, row.id, eval_hash=epoch)
        if means and set(means) == set(base) and not experiments.get(session.db, row.id).is_noop:
            found.append(Pair(row.id, means, base))
    return found


def discordance_of(session: Session, pair: Pair) -> float:
    """Mean of d², in units."""
    adjusted = session.metric.adjusted
    squares = (adjusted(pair.candidate[item] - pair.reference[item]) ** 2 for item in pair.reference)
    return sum(squares) / len(pair.reference)


def noise(session: Session) -> tuple[float, str]:
    """σ_run of the newest experiment, in units, and where it is from: configured, measured or assumed."""
    newest = experiments.get(session.db, f"exp_{nodes.newest(session.db):04d}")
    sigma = sigma_of(session, newest)
    if session.config.gate.sigma_run != "auto":
        return sigma, "configured"
    return sigma, f"measured on {newest.seeds} seeds" if newest.seeds >= LEAST_SEEDS else "assumed"
