"""Two experiments on the dev items that both answered: the paired difference and how sure it is.

Invariant: only results of one epoch are paired; every interval is 95 %, from the full paired variance with the run
noise of both sides (DESIGN §8), in the metric's own units.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from evo.data.reader import read_items
from evo.domain.experiment import Experiment
from evo.domain.item import Item
from evo.domain.views import IntervalView, ScoreView
from evo.errors import FileFormatError, NotFound
from evo.gate.noise import sigma_run
from evo.gate.statistics import RunNoise, interval, paired
from evo.lightdata import dataclass
from evo.session import Session
from evo.store import experiments, results


@dataclass(frozen=True)
class Pairing:
    """Item -> mean result (over samples and seeds) of each side, for the items of both. `noise` is in units."""

    a: Mapping[str, float]
    b: Mapping[str, float]
    noise: RunNoise

    @property
    def items(self) -> list[str]:
        return list(self.a)


def pair_up(session: Session, a: Experiment, b: Experiment) -> Pairing | None:
    """None where one has no score, or the two scores are of different epochs, or they share no item."""
    if a.epoch is None or a.epoch != b.epoch:
        return None
    ours = results.pooled_means(session.db, a.id, eval_hash=a.epoch)
    theirs = results.pooled_means(session.db, b.id, eval_hash=a.epoch)
    common = [item for item in ours if item in theirs]
    if not common:
        return None
    setting = session.config.gate.sigma_run
    noise = RunNoise(
        max(sigma_run(setting, a.technique), sigma_run(setting, b.technique)), max(1, b.seeds), max(1, a.seeds)
    )
    return Pairing({item: ours[item] for item in common}, {item: theirs[item] for item in common}, noise)


def with_parent(session: Session, experiment: Experiment) -> Pairing | None:
    """None for the root, without a score on either side, and across epochs."""
    if experiment.parent is None or experiment.epoch is None:
        return None
    return pair_up(session, experiments.get(session.db, experiment.parent), experiment)


def difference(
    session: Session, pairing: Pairing, dev: Mapping[str, Item], *, items: Iterable[str] | None = None
) -> IntervalView:
    """B − A over `items` (default: all that both have), clusters taken into account where dev has them."""
    chosen = pairing.items if items is None else list(items)
    unit = session.metric.unit
    groups = [dev[item].cluster if item in dev else None for item in chosen]
    clusters = [group or f"item {item}" for group, item in zip(groups, chosen, strict=True)] if any(groups) else None
    pair = paired([pairing.b[i] / unit for i in chosen], [pairing.a[i] / unit for i in chosen], clusters=clusters)
    found = interval(pair, pairing.noise)
    return IntervalView(found.mean * unit, found.low * unit, found.high * unit)


def dev_items(session: Session) -> dict[str, Item]:
    """The dev items by id; empty where the file is gone or broken: `evo data check` names the fault."""
    try:
        items = read_items(session.layout.data / "dev.jsonl", needs_target=False)
    except (NotFound, FileFormatError):
        return {}
    return {item.id: item for item in items}


def by_slice(items: Iterable[str], dev: Mapping[str, Item]) -> dict[str, list[str]]:
    """Slice -> its items, slices by name; items without a slice are in none."""
    found: dict[str, list[str]] = {}
    for item in items:
        name = dev[item].slice if item in dev else None
        if name is not None:
            found.setdefault(name, []).append(item)
    return dict(sorted(found.items()))


def score_of(experiment: Experiment) -> ScoreView | None:
    if experiment.score_mean is None:
        return None
    return ScoreView(experiment.score_mean, experiment.score_se or 0.0, experiment.score_n or 0)
