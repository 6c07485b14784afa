"""evo budget."""

from __future__ import annotations

from typing import Annotated

import typer

from evo.cli.options import leaf
from evo.domain.views import Reply
from evo.report.budget import budget_reply

app = leaf()


@app.command()
def budget(
    recipe: Annotated[str | None, typer.Option("--recipe", help="Forecast runs of this recipe alone.")] = None,
) -> Reply:
    """evo budget

    What was spent, what is left of each cap, and how many runs that is, by what earlier ones took.
    """
    return budget_reply(recipe)
