"""evo adopt."""

from __future__ import annotations

import shlex
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from evo.cli.dry import DryRun, opened, rehearsed
from evo.cli.options import leaf
from evo.cli.progress import progress
from evo.domain.views import Reply
from evo.ops import adopt as ops
from evo.report import show
from evo.session import open_session

app = leaf()


@app.command()
def adopt(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="Folder of a checkpoint: full weights, or a LoRA.")],
    parent: Annotated[str, typer.Option("--parent", metavar="EXP", help="What it was trained from, as you declare.")],
    hypothesis: Annotated[str, typer.Option("-m", "--hypothesis", help="Where it comes from, and what you expect.")],
    key: Annotated[str | None, typer.Option("--key", help="Idempotency key: the same key is the same node.")] = None,
    dry_run: DryRun = False,
) -> Reply:
    """evo adopt ./my-checkpoint --parent exp_0003 -m "trained on the cluster with our old script"

    Make a checkpoint that was trained elsewhere an experiment and score it. Its lineage is shown as declared.
    """
    request = ops.AdoptRequest(path, parent, hypothesis, key)
    if dry_run:
        with opened(dry_run) as session:
            name, would = import_module("evo.ops.rehearse").adopt(session, request)
        return rehearsed(
            shlex.join(["evo", "adopt", str(path), "--parent", parent, "-m", hypothesis]), would, facts={"id": name}
        )
    with open_session() as session, progress() as on_tick:
        done = ops.adopt(session, request, on_tick)
        return show.reply(session, done.experiment, message=done.message, warnings=done.warnings, failure=done.failure)
