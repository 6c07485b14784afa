"""evo wait."""

from __future__ import annotations

from typing import Annotated

import typer

from evo.cli.options import leaf
from evo.cli.progress import progress
from evo.cli.swept import swept_reply
from evo.clock import parse_duration
from evo.domain.experiment import parse_experiment_id
from evo.domain.views import Reply
from evo.errors import UsageError, nearest
from evo.ops import lifecycle
from evo.ops.runs import waiting
from evo.session import open_session

app = leaf()


@app.command()
def wait(
    experiments: Annotated[list[str] | None, typer.Argument(metavar="EXP…", help="Default: all that run.")] = None,
    for_: Annotated[str, typer.Option("--for", help="experiments, ideas or gpu-idle.")] = "experiments",
    timeout: Annotated[str, typer.Option("--timeout", help="Give up after this long (exit 9).")] = "540",
) -> Reply:
    """evo wait exp_0007 exp_0008 --timeout 9m

    Wait until the experiments have ended, and take them in.
    """
    names = [parse_experiment_id(name) for name in experiments or ()]
    seconds = parse_duration(timeout, name="--timeout") or 0.0
    if for_ != "experiments":
        return _for(for_, names, seconds)
    with open_session() as session, progress() as on_tick:
        swept = lifecycle.wait(session, names, timeout_s=seconds, on_tick=on_tick)
        return swept_reply(swept, failure=lifecycle.first_failure(session, names))


def _for(what: str, names: list[str], seconds: float) -> Reply:
    """Wait for something else than experiments."""
    if what not in waiting.WAITS:
        raise UsageError(f"--for {what!r}: there is no such thing to wait for", hint=nearest(what, waiting.WAITS))
    if names:
        raise UsageError(f"--for {what} goes without experiments", hint=f"evo wait --for {what}")
    with open_session(readonly=True) as session:
        return waiting.WAITS[what](session, seconds)
