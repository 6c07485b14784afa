"""evo ideas list/show/take/drop/check/calibration."""

from __future__ import annotations

from typing import Annotated

import typer

from evo.cli.options import Limit, leaf
from evo.domain.experiment import parse_experiment_id
from evo.domain.idea import IDEA_STATES, IdeaState
from evo.domain.idea_views import IdeasView
from evo.domain.views import Hint, Reply
from evo.errors import UsageError, nearest
from evo.ops.ideas.calibration import calibration, settle_outcomes
from evo.ops.ideas.check import check
from evo.ops.ideas.facts import facts_of
from evo.ops.ideas.take import take
from evo.ops.ideas.views import idea_view
from evo.session import open_session
from evo.store import ideas as store

app = leaf("evo ideas list\n\nIdeas for the next experiments: list, show, take, drop or check them.")

Id = Annotated[int, typer.Argument(metavar="ID", min=1, help="The idea's number.")]


@app.command("list")
def list_(
    state: Annotated[
        list[str] | None, typer.Option("--state", help="open, taken, dropped, refuted or all. Default: open.")
    ] = None,
    limit: Limit = 50,
) -> Reply:
    """evo ideas list --state taken

    Newest first.
    """
    wanted = _states(state or ["open"])
    with open_session(readonly=True) as session:
        found = store.listed(session.db, states=wanted, limit=limit + 1)
        path = session.layout.reports / "ideas.jsonl"
    view = IdeasView(
        [idea_view(one) for one in found[:limit]],
        truncated=len(found) > limit,
        path=str(path) if path.is_file() else "",
    )
    return Reply(view, () if found else (Hint("evo ideate", "none here: ask for some"),))


@app.command()
def show(id: Id) -> Reply:
    """evo ideas show 3

    One idea, whole: references with their status, what it predicts, what would refute it.
    """
    with open_session(readonly=True) as session:
        one = store.get(session.db, id)
    can_take = one.state == "open" and bool(one.idea.recipe)
    hints = [Hint(command, one.idea.title) for command in one.idea.commands]
    return Reply(idea_view(one), tuple([Hint(f"evo ideas take {id}", "make it an experiment")] if can_take else hints))


@app.command("take")
def take_(
    id: Id,
    parent: Annotated[str | None, typer.Option("--parent", help="Default: the idea's own, else the policy's.")] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the experiment.")] = 42,
) -> Reply:
    """evo ideas take 3 --parent exp_0002

    Make an idea an experiment, linked to it. Taking it again gives that experiment.
    """
    with open_session() as session:
        view = take(session, id, parent=None if parent is None else parse_experiment_id(parent), seed=seed)
    return Reply(view, (Hint(f"evo run {view.id}", "train and evaluate it"),))


@app.command()
def drop(
    id: Id, reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why it is not worth a run.")] = ""
) -> Reply:
    """evo ideas drop 3 --reason "our data has no pairs"

    It is not proposed again.
    """
    with open_session() as session:
        one = store.move(session.db, id, "dropped", reason=" ".join(reason.split()))
    return Reply(idea_view(one))


@app.command("check")
def check_(
    words: Annotated[str, typer.Argument(metavar="TEXT", help="The idea, in words.")], limit: Limit = 5
) -> Reply:
    """evo ideas check "a lower learning rate after the first epoch"

    How new it is: the nearest experiments and ideas of the tree, the nearest claims of the knowledge base.
    """
    with open_session(readonly=True) as session:
        checked = check(session, words, limit=limit)
    return Reply(checked.view, warnings=tuple(checked.warnings))


@app.command("calibration")
def calibration_(limit: Limit = 50) -> Reply:
    """evo ideas calibration

    What taken ideas promised beside what came of them, by brief. Ideas that came out below what they allow are refuted.
    """
    with open_session() as session:
        facts = facts_of(session)
        settle_outcomes(session, facts)
        view = calibration(session, facts, limit=limit)
    return Reply(view, warnings=() if view.outcomes else ("no taken idea has an outcome yet",))


def _states(words: list[str]) -> tuple[IdeaState, ...]:
    if "all" in words:
        return IDEA_STATES
    for word in words:
        if word not in IDEA_STATES:
            raise UsageError(f"{word!r} is no state of an idea", hint=nearest(word, (*IDEA_STATES, "all")))
    return tuple(state for state in IDEA_STATES if state in words)
