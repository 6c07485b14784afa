"""evo ideate."""

from __future__ import annotations

from typing import Annotated

import typer

from evo.cli.options import leaf
from evo.domain.idea_views import IdeasView
from evo.domain.views import Hint, Reply
from evo.ops.ideas.facts import training_rows
from evo.ops.ideas.ideate import ideate, ideate_fitting, parse_brief
from evo.ops.ideas.sources import panel
from evo.ops.ideas.views import idea_view
from evo.session import open_session

app = leaf()


@app.command("ideate")
def ideate_(
    brief: Annotated[
        str | None,
        typer.Option(
            "--brief",
            help="literature, failure_analysis, frontier_extrapolation or control. Default: what the tree asks for.",
        ),
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, max=50, help="How many.")] = 5,
    source: Annotated[
        str, typer.Option("--source", help="kb or anthropic: who proposes beside the rules. Default: ideas.source.")
    ] = "",
) -> Reply:
    """evo ideate --brief literature -k 5

    Ranked ideas for the next experiments, each with what it rests on and what would refute it. They are kept.
    """
    chosen = None if brief is None else parse_brief(brief)
    with open_session() as session:
        asked = panel(session, source, is_needed=bool(source))
        if chosen is None:
            (name, why), found = ideate_fitting(session, k, asked=asked)
        else:
            name, why, found = chosen, "asked for", ideate(session, chosen, k, asked=asked)
        path = str(session.layout.reports / "ideas.jsonl")
        has_data = bool(training_rows(session))
    view = IdeasView([idea_view(one) for one in found], brief=name, why=why, path=path)
    first = next((one for one in found if one.idea.recipe and one.state == "open"), None)
    hints = (Hint(f"evo ideas take {first.id}", first.idea.title),) if first else ()
    warnings = () if found else (nothing_for(name, has_data=has_data),)
    return Reply(view, hints, (*asked.warnings(), *warnings))


def nothing_for(brief: str, *, has_data: bool) -> str:
    """Why there is no idea, and what would change that."""
    if brief == "literature" and not has_data:
        return "nothing to learn from in data/: train.jsonl, preferences.jsonl or corpus/; or a recipe in recipes/"
    return f"nothing new for {brief}: another brief, or `evo frontier`"
