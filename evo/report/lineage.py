"""`evo path` and `evo discards`: where an experiment comes from, and what was given up on the way.

Invariant: bounded lists; an experiment is shown with the words that were recorded.
"""

from __future__ import annotations

from evo.domain.experiment import Experiment, parse_experiment_id
from evo.domain.read_views import DiscardsView, DiscardView, PathNodeView, PathView
from evo.domain.views import Hint, Reply
from evo.report.pairs import score_of
from evo.session import Session, open_session
from evo.store import experiments, listings, nodes


def path_reply(exp: str, *, limit: int) -> Reply:
    name = parse_experiment_id(exp)
    with open_session(readonly=True) as session:
        return Reply(path_view(session, name, limit=limit))


def path_view(session: Session, identifier: str, *, limit: int = 50) -> PathView:
    experiment = experiments.get(session.db, identifier)
    line = [experiment, *experiments.ancestors(session.db, identifier)]
    epoch = session.epoch
    return PathView(identifier, [path_node(e, epoch) for e in reversed(line[:limit])], truncated=len(line) > limit)


def path_node(experiment: Experiment, epoch: str | None) -> PathNodeView:
    is_present = experiment.epoch is not None and experiment.epoch == epoch
    return PathNodeView(
        experiment.id,
        experiment.state,
        experiment.hypothesis,
        experiment.recipe,
        score_of(experiment),
        experiment.gain if is_present else None,
        old_epoch=experiment.epoch is not None and not is_present,
    )


def discards_reply(*, limit: int) -> Reply:
    with open_session(readonly=True) as session:
        view = discards_view(session, limit=limit)
    next = tuple(Hint(f"evo restore {entry.id}", "takes the newest discard back") for entry in view.discards[:1])
    return Reply(view, next=next)


def discards_view(session: Session, *, limit: int = 50) -> DiscardsView:
    given_up = listings.with_state(session.db, "discarded", limit=limit, newest_first=True)
    views = [
        DiscardView(
            id=e.id,
            parent=e.parent,
            reason=e.state_reason,
            class_=e.state_class,
            hypothesis=e.hypothesis,
            recipe=e.recipe,
            score=e.score_mean,
            at=listings.changed_at(session.db, e.id),
        )
        for e in given_up
    ]
    total = nodes.counts(session.db)["discarded"]
    return DiscardsView(views, total, truncated=total > limit)


def newest_ids(*, limit: int = 200) -> list[str]:
    """For completion: the newest experiments, newest first."""
    with open_session(readonly=True) as session:
        return [experiment.id for experiment in listings.newest(session.db, limit=limit)]
