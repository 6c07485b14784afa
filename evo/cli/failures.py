"""`evo failures EXP`."""

from __future__ import annotations

from typing import Annotated

import typer

from evo.cli.options import Exp, Limit, leaf
from evo.domain.views import Reply
from evo.report.failures import failures_reply

app = leaf()


@app.command()
def failures(
    exp: Exp,
    slice: Annotated[str | None, typer.Option("--slice", metavar="NAME", help="Only items of this slice.")] = None,
    limit: Limit = 50,
) -> Reply:
    """evo failures exp_0007 --slice carry

    Dev items that the experiment gets wrong, worst first. Held-out items are never shown.
    """
    return failures_reply(exp, slice=slice, limit=limit)
