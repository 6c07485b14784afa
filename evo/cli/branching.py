"""What `evo new` does once its words are read; apart from the parser, which plain words need not build."""

from __future__ import annotations

from importlib import import_module

from evo.cli.quick import read_options
from evo.domain.agent_views import DryRunView
from evo.domain.views import Hint, NewGridView, Reply
from evo.ops import new as ops
from evo.session import Session, open_rehearsal, open_session

OPTIONS = {
    "--recipe": "recipe",
    "-m": "hypothesis",
    "--hypothesis": "hypothesis",
    "--parent": "parent",
    "--set": "settings",
    "--grid": "grid",
    "--from-artifact": "from_artifact",
    "--key": "key",
}
MANY = ("settings", "grid")


def new_plainly(*words: str) -> Reply | None:
    """The reply to plain words; None where the parser is needed."""
    found = read_options(words, OPTIONS)
    if found is None or not {"recipe", "hypothesis"} <= found.keys():
        return None
    if any(len(values) > 1 for key, values in found.items() if key not in MANY):
        return None
    one = {key: values[0] for key, values in found.items() if key not in MANY}
    return new_reply(
        ops.NewRequest(
            recipe=one["recipe"],
            hypothesis=one["hypothesis"],
            parent=one.get("parent"),
            settings=tuple(found.get("settings", ())),
            grid=tuple(found.get("grid", ())),
            from_artifact=one.get("from_artifact"),
            key=one.get("key"),
        )
    )


def new_reply(request: ops.NewRequest, *, dry_run: bool = False, idea: int | None = None) -> Reply:
    with open_rehearsal() if dry_run else open_session() as session:
        made = ops.new(session, request) if idea is None else _from_idea(session, request, idea)
    if dry_run:
        return _rehearsed(made)
    hints = tuple(Hint(f"evo run {view.id}", "train and evaluate it") for view in made.views)
    view = made.views[0] if not request.grid else NewGridView(made.views)
    return Reply(view, hints, made.warnings)


def _from_idea(session: Session, request: ops.NewRequest, idea: int) -> ops.Made:
    """`evo new --idea`: the idea in somebody's own settings."""
    made: ops.Made = import_module("evo.ops.ideas.take").make_from(session, request, idea)
    return made


def _rehearsed(made: ops.Made) -> Reply:
    """What `evo new` would make, by the ids that are free now."""
    told = [
        f"{'make' if view.created else 'find'} {view.id} below {view.parent}"
        + (f" (picked by {view.picked_by})" if view.picked_by else "")
        for view in made.views
    ]
    facts: dict[str, object] = {"ids": [view.id for view in made.views]}
    return Reply(DryRunView("evo new", told, facts), warnings=made.warnings)
