"""evo restore."""

from __future__ import annotations

from importlib import import_module

from evo.cli.dry import DryRun, opened, rehearsed
from evo.cli.options import Exp, leaf
from evo.domain.views import Hint, MessageView, Reply
from evo.ops import lifecycle
from evo.session import open_session

app = leaf()


@app.command()
def restore(experiment: Exp, dry_run: DryRun = False) -> Reply:
    """evo restore exp_0007

    Take a discard back: the former standing, never more.
    """
    if dry_run:
        with opened(dry_run) as session:
            would = import_module("evo.ops.rehearse").restore(session, experiment)
        return rehearsed(f"evo restore {experiment}", would, facts={"id": experiment})
    with open_session() as session:
        message = lifecycle.restore(session, experiment)
    return Reply(MessageView(message, {"id": experiment}), (Hint(f"evo show {experiment}", "how it stands"),))
