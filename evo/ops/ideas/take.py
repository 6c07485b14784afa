"""`evo ideas take`: an idea becomes an experiment, linked to it for good.

Invariant: an idea is taken once; taking it again gives the experiment that it was taken into.
"""

from __future__ import annotations

import json

from evo.domain.experiment import ROOT
from evo.domain.views import NewView
from evo.errors import Refused
from evo.ops.new import Made, NewRequest, new
from evo.session import Session
from evo.store import experiments
from evo.store import ideas as store


def take(session: Session, id: int, *, parent: str | None = None, seed: int = 42) -> NewView:
    """The experiment of idea `id`, below `parent` (default: the idea's own, else the policy's first pick).

    NotFound: no such idea. Refused: it is no training run, or it was dropped or refuted.
    """
    recorded = store.get(session.db, id)
    if recorded.experiment is not None:
        known = experiments.get(session.db, recorded.experiment)
        return NewView(known.id, False, str(session.layout.worktree(known.id)), known.parent or ROOT)
    idea = recorded.idea
    if not idea.recipe:
        steps = "; ".join(idea.commands) or "see evo ideas show"
        raise Refused(f"idea {id} is no training run: {steps}", hint=f"evo ideas show {id}")
    if recorded.state != "open":
        raise Refused(f"idea {id} is {recorded.state}", hint="evo ideas list")
    settings = tuple(f"{name}={written(value)}" for name, value in idea.patch.items() if value is not None)
    request = NewRequest(idea.recipe, idea.hypothesis, parent or idea.parent or None, settings, seed=seed)
    view = new(session, request).views[0]
    store.move(session.db, id, "taken", experiment=view.id)
    return view


def make_from(session: Session, request: NewRequest, id: int) -> Made:
    """What `evo new` makes, linked to idea `id`. Refused for a grid, and where the idea was taken into another one."""
    recorded = store.get(session.db, id)
    if request.grid:
        raise Refused("an idea becomes one experiment; --grid makes several", hint="leave one of the two out")
    if recorded.state != "open" and recorded.experiment is None:
        raise Refused(f"idea {id} is {recorded.state}", hint="evo ideas list")
    if recorded.experiment is not None and not _is_same(session, request, recorded.experiment):
        raise Refused(f"idea {id} was taken into {recorded.experiment}", hint=f"evo show {recorded.experiment}")
    made = new(session, request)
    if recorded.experiment is None:
        store.move(session.db, id, "taken", experiment=made.views[0].id)
    return made


def _is_same(session: Session, request: NewRequest, experiment: str) -> bool:
    known = experiments.get(session.db, experiment)
    return (known.recipe, known.hypothesis) == (request.recipe, request.hypothesis)


def written(value: object) -> str:
    """As `--set` reads it back, to the last digit."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
