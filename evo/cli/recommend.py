"""evo recommend."""

from __future__ import annotations

from typing import Annotated

import typer

from evo.cli.options import leaf
from evo.domain.views import Hint, Reply
from evo.errors import UsageError, nearest
from evo.ideas.recommend import SHAPES, recommend
from evo.ops.ideas.facts import facts_of
from evo.ops.ideas.views import recommend_view
from evo.session import open_session

app = leaf()


@app.command("recommend")
def recommend_(
    shape: Annotated[
        str | None, typer.Option("--shape", help="verifiable, pairs, demonstrations, scorer or corpus.")
    ] = None,
) -> Reply:
    """evo recommend --shape pairs

    Reward first, then technique: what to try for what there is to learn from. A prior, never a rule.
    """
    if shape is not None:
        if shape not in SHAPES:
            raise UsageError(f"{shape!r} is no reward shape", hint=nearest(shape, SHAPES))
        return Reply(recommend_view(recommend([shape])))
    with open_session(readonly=True) as session:
        facts = facts_of(session)
    found = recommend_view(recommend(facts.task.shapes, facts=facts))
    warnings = () if facts.task.shapes else ("no training data that a recipe is shipped for was found in data/",)
    return Reply(found, (Hint("evo ideate --brief literature", "ideas with what they rest on"),), warnings)
