"""`evo note EXP TEXT`."""

from __future__ import annotations

from typing import Annotated

import typer

from evo.cli.dry import DryRun, opened, rehearsed
from evo.cli.options import Exp, leaf
from evo.domain.views import Hint, Reply
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
    dry_run: DryRun = False,
) -> Reply:
    """evo note exp_0007 --insight "rank 64 overfits after one epoch"

    Write a note on an experiment, or its insight: the one line that later proposals will read.
    """
    with opened(dry_run) as session:
        view = write_note(session, exp, text=text, insight=insight, key=key)
    if dry_run:
        would = [f"write the {what}: {words}" for what, words in view.facts.items() if what != "id"]
        return rehearsed(f"evo note {exp}", would, facts={"id": exp})
    return Reply(view, (Hint(f"evo notes {exp}", "all of them"),))
