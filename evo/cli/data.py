"""evo data."""

from __future__ import annotations

import time
from importlib import import_module
from pathlib import Path
from typing import Annotated, cast, get_args

import typer

from evo.cli.dry import DryRun, opened, rehearsed
from evo.cli.options import leaf
from evo.cli.progress import progress
from evo.domain.views import Hint, Reply
from evo.errors import Denied, UsageError
from evo.ops import data as ops
from evo.ops.judging.sealing import GoldRequest
from evo.ops.progress import Tick
from evo.session import open_session
from evo.store.datasets import Derived

app = leaf("evo data status\n\nGold items and their splits.")


@app.command()
def seal(
    gold: Annotated[Path | None, typer.Option("--gold", help="Gold items (JSONL).")] = None,
    split: Annotated[str | None, typer.Option("--split", help="Shares of dev/held-out/vault: 50/30/20.")] = None,
    dev: Annotated[Path | None, typer.Option("--dev")] = None,
    heldout: Annotated[Path | None, typer.Option("--heldout")] = None,
    vault: Annotated[Path | None, typer.Option("--vault")] = None,
    dry_run: DryRun = False,
) -> Reply:
    """evo data seal --gold gold.jsonl

    Split gold items into dev, held-out and vault, and seal the last two.
    """
    request = GoldRequest(gold, split, dev, heldout, vault)
    if dry_run:
        with opened(dry_run) as session:
            return rehearsed("evo data seal", import_module("evo.ops.rehearse").seal_items(session, request))
    with open_session() as session:
        view, warnings = ops.seal(session, request)
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
def check(file: Annotated[Path, typer.Argument(metavar="FILE", help="Training rows (.jsonl) or texts.")]) -> Reply:
    """evo data check data/train.jsonl

    Look for sealed and dev items in a file, word for word and disguised. Exit 5 when a line would contaminate.
    """
    start = time.monotonic()
    with open_session(readonly=True) as session, progress() as on_tick:

        def tell(done: int, total: int) -> None:
            on_tick(Tick(str(file), 0, "looking for leaks", time.monotonic() - start, {"done": done, "total": total}))

        view = ops.check(session, file, on_progress=tell)
    lines = "1 line" if view.blocking == 1 else f"{view.blocking} lines"
    found = Denied(f"{file}: {lines} would contaminate what is trained on it") if view.blocking else None
    return Reply(view, failure=found)


@app.command()
def register(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Training rows (.jsonl), a text, or a folder of them.")],
    parents: Annotated[list[str] | None, typer.Option("--parents", help="What it was made from: path or hash.")] = None,
    derived: Annotated[str, typer.Option("--derived", help="dev: made from what the model got wrong on dev.")] = "",
    transform: Annotated[str, typer.Option("--transform", help="How it was made.")] = "",
) -> Reply:
    """evo data register data/augmented.jsonl --parents data/train.jsonl --derived dev

    Say where a dataset comes from. Who trains on data made from dev failures is shown as dev-exposed.
    """
    if derived not in get_args(Derived):
        raise UsageError(f"--derived: {derived!r} is not known", hint="--derived dev")
    with open_session() as session:
        above = [name for entry in parents or () for name in entry.split(",")]
        view = ops.register(session, file, parents=above, derived=cast(Derived, derived), transform=transform)
    return Reply(view)


@app.command()
def retract(
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="Path, hash, or the beginning of a hash.")],
    reason: Annotated[str, typer.Option("--reason", help="Why it is taken back.")] = "",
) -> Reply:
    """evo data retract data/train.jsonl --reason "licence withdrawn"

    Take a dataset back: certificates of all that was trained on it, or descends from such a one, become void.
    """
    with open_session() as session:
        view = ops.retract(session, dataset, reason=reason)
    return Reply(view, (Hint("evo data status", "which datasets stand"),))
