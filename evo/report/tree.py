"""`evo tree`: the tree as it stands, depth first.

Invariant: nothing recurses, and the cost is that of the rows shown, however deep or wide the tree is.
"""

from __future__ import annotations

from evo.domain.experiment import ROOT, parse_experiment_id
from evo.domain.views import Hint, Reply, TreeNodeView, TreeView
from evo.report.best import best_of, corrected
from evo.report.live import live
from evo.session import Session, open_session
from evo.store import datasets, experiments, listings, nodes


def tree_reply(start: str, *, depth: int | None, limit: int) -> Reply:
    root = parse_experiment_id(start)
    with open_session(readonly=True) as session:
        view = tree_view(session, root, depth=depth, limit=limit)
    next = (Hint(f"evo tree --from {root} --limit {2 * limit}", "more of it"),) if view.truncated else ()
    return Reply(view, next=next)


def tree_view(session: Session, root: str, *, depth: int | None = None, limit: int = 50) -> TreeView:
    """`root` and what descends from it: at most `limit` nodes, `depth` generations."""
    db = session.db
    experiments.get(db, root)
    rows = nodes.subtree(db, root, limit=limit + 1, depth=depth)
    shown = rows[:limit]
    running = {entry.id for entry in live(session).running}
    epoch = session.epoch
    exposed = datasets.exposed_among(db, [(row.id, row.parent) for row in shown])
    children = listings.child_counts(db, [row.id for row in shown])
    best, _ = best_of(session)
    chosen = None if best is None else corrected(session, experiments.get(db, best))
    views = [
        TreeNodeView(
            id=row.id,
            parent=row.parent,
            state=row.state,
            score=row.score_mean,
            hypothesis=row.hypothesis,
            recipe=row.recipe,
            depth=row.depth,
            se=row.score_se,
            running=row.id in running,
            certified=row.state == "committed" and row.id != ROOT,
            old_epoch=row.epoch is not None and row.epoch != epoch,
            children=children[row.id],
            corrected=chosen if row.id == best else None,
            dev_exposed=row.id in exposed,
        )
        for row in shown
    ]
    return TreeView(views, truncated=len(rows) > limit, total=sum(nodes.counts(db).values()))
