"""`evo failures EXP`: dev items that an experiment gets wrong.

Invariant: dev items only. Results of held-out and vault are not in the tables that this reads.
"""

from __future__ import annotations

from evo.domain.experiment import Experiment, parse_experiment_id
from evo.domain.item import Item
from evo.domain.score import Metric
from evo.domain.views import FailuresView, FailureView, Hint, Reply
from evo.errors import NotFound, Refused, nearest
from evo.report.compare import first_outputs
from evo.report.pairs import by_slice, dev_items
from evo.session import Session, open_session
from evo.store import experiments, results


def failures_reply(exp: str, *, slice: str | None, limit: int) -> Reply:
    name = parse_experiment_id(exp)
    with open_session(readonly=True) as session:
        view = failures_view(session, name, slice=slice, limit=limit)
    next = (Hint(f"evo failures {name} --limit {2 * limit}", "more of them"),) if view.truncated else ()
    return Reply(view, next=next)


def failures_view(session: Session, identifier: str, *, slice: str | None = None, limit: int = 50) -> FailuresView:
    """Worst first, by item id among equals. Refused without a score; NotFound names the nearest slice."""
    experiment = experiments.get(session.db, identifier)
    if experiment.epoch is None:
        raise Refused(f"{identifier} has no score yet", hint=f"evo run {identifier}")
    dev = dev_items(session)
    means = results.pooled_means(session.db, identifier, eval_hash=experiment.epoch)
    if slice is not None:
        groups = by_slice(means, dev)
        if slice not in groups:
            raise NotFound(f"no slice {slice!r} in dev", hint=nearest(slice, groups))
        means = {item: means[item] for item in groups[slice]}
    wrong = worst_first(means, session.metric)
    return FailuresView(
        experiment=identifier,
        items=failure_views(session, experiment, means, dev, wrong[:limit]),
        total=len(wrong),
        truncated=len(wrong) > limit,
    )


def worst_first(means: dict[str, float], metric: Metric) -> list[str]:
    """Items short of the best result that there can be; in an open range, short of the best that there is."""
    if not means:
        return []
    edge = metric.high if metric.direction == "max" else metric.low
    gains = {item: metric.adjusted(mean) for item, mean in means.items()}
    best = max(gains.values()) if edge is None else metric.adjusted(edge)
    return sorted((item for item, gain in gains.items() if gain < best), key=lambda item: (gains[item], item))


def failure_views(
    session: Session, experiment: Experiment, means: dict[str, float], dev: dict[str, Item], items: list[str]
) -> list[FailureView]:
    outputs = first_outputs(session, experiment)
    views = []
    for item in items:
        known = dev.get(item)
        views.append(
            FailureView(
                id=item,
                slice=known.slice if known else None,
                input=known.question if known else "",
                expected=known.target if known else None,
                output=outputs.get(item),
                score=means[item],
            )
        )
    return views
