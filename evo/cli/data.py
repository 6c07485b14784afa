"""evo data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evo.cli.options import leaf
from evo.domain.views import Hint, Reply
from evo.errors import Denied
from evo.ops import data as ops
from evo.ops.sealing import GoldRequest
from evo.session import open_session

app = leaf("evo data status\n\nGold items and their splits.")


@app.command()
def seal(
    gold: Annotated[Path | None, typer.Option("--gold", help="Gold items (JSONL).")] = None,
    split: Annotated[str | None, typer.Option("--split", help="Shares of dev/held-out/vault: 50/30/20.")] = None,
    dev: Annotated[Path | None, typer.Option("--dev")] = None,
    heldout: Annotated[Path | None, typer.Option("--heldout")] = None,
    vault: Annotated[Path | None, typer.Option("--vault")] = None,
) -> Reply:
    """evo data seal --gold gold.jsonl

    Split gold items into dev, held-out and vault, and seal the last two.
    """
    with open_session() as session:
        view, warnings = ops.seal(session, GoldRequest(gold, split, dev, heldout, vault))
    return Reply(view, (Hint("evo run exp_0000", "score the baseline"),), warnings)


@app.command()
def status() -> Reply:
    """evo data status

    How many items each split has, and what these numbers can show.
    """
    with open_session(readonly=True) as session:
        view, warnings = ops.status(session)
    return Reply(view, (), warnings)


@app.command()
def check(file: Annotated[Path, typer.Argument(metavar="FILE", help="Training rows (JSONL).")]) -> Reply:
    """evo data check data/train.jsonl

    Look for sealed and dev items in a file. Exit 5 when there are any.
    """
    with open_session(readonly=True) as session:
        view = ops.check(session, file)
    found = Denied(f"{file}: {len(view.findings)} lines hold evaluation items") if view.findings else None
    return Reply(view, failure=found)
