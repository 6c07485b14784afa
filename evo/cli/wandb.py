"""evo wandb."""

from __future__ import annotations

from typing import Annotated

import typer

from evo.cli.options import leaf
from evo.domain.views import Hint, Reply
from evo.ops.tracking import mirror_status
from evo.session import open_session

app = leaf("evo wandb status\n\nThe mirror of the tree in wandb, or in the tracker that `track` names.")


@app.command()
def sync(
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Write every page again, from its beginning.")] = False,
    offline: Annotated[
        bool, typer.Option("--offline", help="wandb without a server: folders for `wandb sync`.")
    ] = False,
) -> Reply:
    """evo wandb sync --offline

    Write what the tracker does not have yet: a run for each attempt that has ended, and one for the tree.
    """
    with open_session(readonly=True) as session:
        view, warnings = mirror_status.sync(session, rebuild=rebuild, offline=offline)
    hint = Hint(f"wandb sync {view.folder}/wandb/offline-run-*", "upload them, where there is a network")
    return Reply(view, (hint,) if view.mode == "offline" else (), warnings)


@app.command()
def status() -> Reply:
    """evo wandb status

    Which tracker is in use and why, what it has been told, and what went wrong.
    """
    with open_session(readonly=True) as session:
        view = mirror_status.status(session)
    return Reply(view, (Hint("evo wandb sync", "write what is owed"),) if view.owed else ())
