"""`evo note EXP TEXT`."""

from __future__ import annotations

from typing import Annotated

import typer

from evo.cli.options import Exp, leaf
from evo.domain.views import Reply
from evo.ops.note import write_note

app = leaf()


@app.command()
def note(
    exp: Exp,
    text: Annotated[str | None, typer.Argument(metavar="[TEXT]", help="The note.")] = None,
    insight: Annotated[
        str | None, typer.Option("--insight", metavar="TEXT", help="The one line to remember of it.")
    ] = None,
    key: Annotated[str | None, typer.Option("--key", help="Idempotency key: the same key is the same note.")] = None,
) -> Reply:
    """evo note exp_0007 --insight "rank 64 overfits after one epoch"

    Write a note on an experiment, or its insight: the one line that later proposals will read.
    """
    return write_note(exp, text=text, insight=insight, key=key)
