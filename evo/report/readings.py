"""How a finished experiment was trained, beside how it scores: reward, gap, slices, and what one would change.

Invariant: the reward is the run's own word; the gap sets it against the dev score of the same weights; slices are
paired with the parent's. Nothing here ranks.
"""

from __future__ import annotations

from collections.abc import Mapping

from evo.diagnose.readings import Readings, SliceGain, advice, saturation_of
from evo.domain.attempt import Attempt
from evo.domain.experiment import Experiment
from evo.domain.item import Item
from evo.domain.run_views import AdviceView, ReadingsView, SliceDeltaView
from evo.report.pairs import Pairing, by_slice, difference
from evo.session import Session


def readings_view(
    session: Session, experiment: Experiment, tries: list[Attempt], pairing: Pairing | None, dev: Mapping[str, Item]
) -> ReadingsView | None:
    """Of the attempt whose weights stand for the experiment. None without a score. `pairing`: with the parent."""
    if experiment.score_mean is None or experiment.primary_attempt is None:
        return None
    metric = session.metric
    kept = next((attempt.summary for attempt in tries if attempt.n == experiment.primary_attempt), {})
    reward = kept.get("train_score")
    train_score = None if reward is None else metric.sign * reward
    gap = None if train_score is None else train_score - experiment.score_mean
    slices = slice_deltas(session, pairing, dev)
    found = Readings(
        train_score=train_score,
        saturation=saturation_of(train_score, low=metric.low, high=metric.high),
        gap=gap,
        slices=[SliceGain(part.slice, part.delta.low, part.delta.high) for part in slices],
    )
    span = None if metric.low is None or metric.high is None else metric.high - metric.low
    told = advice(found, score_se=experiment.score_se or 0.0, span=span, sign=metric.sign)
    return ReadingsView(
        train_score=train_score,
        reward_saturation=found.saturation,
        generalization_gap=gap,
        per_slice_delta=slices,
        end_of_training=kept,
        advice=[AdviceView(each.reading, each.fix) for each in told],
    )


def slice_deltas(session: Session, pairing: Pairing | None, dev: Mapping[str, Item]) -> list[SliceDeltaView]:
    if pairing is None:
        return []
    parts = by_slice(pairing.items, dev).items()
    return [SliceDeltaView(name, len(items), difference(session, pairing, dev, items=items)) for name, items in parts]
