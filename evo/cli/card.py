"""evo card."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evo.cli.options import Exp, leaf
from evo.domain.views import Reply
from evo.ops.publishing import card as ops
from evo.session import open_session

app = leaf()


@app.command()
def card(
    experiment: Exp,
    to: Annotated[Path | None, typer.Option("--to", metavar="FILE", help="Write it there; else it is printed.")] = None,
) -> Reply:
    """evo card exp_0007 --to README.md

    The model card: lineage, data, recipe, score with its interval, certificate, looks used.
    """
    with open_session(readonly=True) as session:
        return Reply(ops.card(session, experiment, to=to))
