"""evo certify."""

from __future__ import annotations

from evo.cli.dry import DryRun, opened, rehearsed
from evo.cli.options import Exp, leaf
from evo.cli.progress import progress
from evo.domain.views import Hint, Reply
from evo.errors import Denied
from evo.ops.judging import gating

app = leaf()


@app.command()
def certify(experiment: Exp, dry_run: DryRun = False) -> Reply:
    """evo certify exp_0007

    Ask the held-out question now. It costs one look; the answer is one bit.
    """
    with opened(dry_run) as session, progress() as on_tick:
        view = gating.certify(session, experiment, on_tick)
    if dry_run:
        return rehearsed(f"evo certify {experiment}", [view.message], facts={"against": view.against})
    denied = None if view.passed else Denied(f"{experiment} is not certified against {view.against}; it stays open")
    hint = Hint("evo release", "open the vault, once") if view.passed else Hint("evo next", "where to branch")
    return Reply(view, (hint,), failure=denied)
