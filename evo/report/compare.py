"""`evo compare A B`: what B is against A, on the dev items that both answered.

Invariant: scores of different epochs are never set against each other; held-out has no part in it.
"""

from __future__ import annotations

from collections.abc import Mapping

from evo.domain.experiment import Experiment, parse_experiment_id
from evo.domain.item import Item
from evo.domain.read_views import CompareView, FlipView, SideView, SliceView
from evo.domain.run_views import ReadingsView
from evo.domain.views import Hint, Reply
from evo.errors import Refused, UsageError
from evo.report.best import corrected
from evo.report.changes import between, ends, files_changed
from evo.report.curves import curve
from evo.report.guards import guard_views
from evo.report.pairs import Pairing, by_slice, dev_items, difference, pair_up, score_of, with_parent
from evo.report.readings import readings_view
from evo.session import Session, open_session
from evo.store import attempts, datasets, experiments, results


def compare_reply(a: str, b: str, *, limit: int) -> Reply:
    left, right = parse_experiment_id(a), parse_experiment_id(b)
    if left == right:
        raise UsageError(f"{left} is compared with itself", hint="name two experiments")
    with open_session(readonly=True) as session:
        view = compare_view(session, left, right, limit=limit)
    return Reply(view, next=(Hint(f"evo diff {right} --against {left}", "what differs in their files"),))


def compare_view(session: Session, a: str, b: str, *, limit: int = 50) -> CompareView:
    """NotFound: no such experiment. Refused: no score, or scores of different epochs."""
    left, right = experiments.get(session.db, a), experiments.get(session.db, b)
    pairing = comparable(session, left, right)
    dev = dev_items(session)
    commits = ends(session, left, right)
    files = files_changed(session.layout.root, *commits) if commits else []
    better = session.metric.adjusted
    gains = {item: better(pairing.b[item] - pairing.a[item]) for item in pairing.items}
    flipped = sorted((item for item in gains if gains[item] != 0), key=lambda item: (-abs(gains[item]), item))
    return CompareView(
        a=side(session, left),
        b=side(session, right),
        epoch=left.epoch or "",
        n=len(gains),
        delta=difference(session, pairing, dev),
        gained=sum(gain > 0 for gain in gains.values()),
        lost=sum(gain < 0 for gain in gains.values()),
        slices=slice_views(session, pairing, dev),
        flipped=flips(session, (left, right), pairing, dev, flipped[:limit]),
        truncated=len(flipped) > limit or len(files) > limit,
        changes=between(session, left, right),
        files=files[:limit],
        curves={left.id: curve(session, left), right.id: curve(session, right)},
        readings={each.id: readings_of(session, each, dev) for each in (left, right)},
        guards=guard_views(session, right, against=left),
    )


def readings_of(session: Session, experiment: Experiment, dev: Mapping[str, Item]) -> ReadingsView | None:
    """Slices against its own parent: what it was meant to better."""
    pairing = with_parent(session, experiment)
    return readings_view(session, experiment, attempts.of(session.db, experiment.id), pairing, dev)


def comparable(session: Session, left: Experiment, right: Experiment) -> Pairing:
    for experiment in (left, right):
        if experiment.epoch is None:
            raise Refused(f"{experiment.id} has no score to compare", hint=f"evo run {experiment.id}")
    if left.epoch != right.epoch:
        old = left if left.epoch != session.epoch else right
        raise Refused(f"the scores of {left.id} and {right.id} are of different epochs", hint=f"evo rescore {old.id}")
    pairing = pair_up(session, left, right)
    if pairing is None:
        raise Refused(f"{left.id} and {right.id} share no dev item", hint="evo fsck")
    return pairing


def side(session: Session, experiment: Experiment) -> SideView:
    about = (experiment.id, experiment.state, experiment.hypothesis, experiment.recipe, score_of(experiment))
    return SideView(
        *about, dev_exposed=datasets.is_dev_exposed(session.db, experiment.id), corrected=corrected(session, experiment)
    )


def slice_views(session: Session, pairing: Pairing, dev: Mapping[str, Item]) -> list[SliceView]:
    return [
        SliceView(
            slice=name,
            n=len(items),
            a=sum(pairing.a[item] for item in items) / len(items),
            b=sum(pairing.b[item] for item in items) / len(items),
            delta=difference(session, pairing, dev, items=items),
        )
        for name, items in by_slice(pairing.items, dev).items()
    ]


def flips(
    session: Session,
    sides: tuple[Experiment, Experiment],
    pairing: Pairing,
    dev: Mapping[str, Item],
    items: list[str],
) -> list[FlipView]:
    """What each said to the items on which they differ: the first answer of the attempt that stands for it."""
    left, right = (first_outputs(session, experiment) for experiment in sides)
    views = []
    for item in items:
        known = dev.get(item)
        views.append(
            FlipView(
                id=item,
                slice=known.slice if known else None,
                input=known.question if known else "",
                expected=known.target if known else None,
                a=pairing.a[item],
                b=pairing.b[item],
                a_output=left.get(item),
                b_output=right.get(item),
            )
        )
    return views


def first_outputs(session: Session, experiment: Experiment) -> dict[str, str | None]:
    """Dev item -> output of the first sample."""
    if experiment.primary_attempt is None or experiment.epoch is None:
        return {}
    graded = results.items(session.db, experiment.id, n=experiment.primary_attempt, eval_hash=experiment.epoch)
    found: dict[str, str | None] = {}
    for result in graded:
        found.setdefault(result.item, result.output)
    return found
