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
from evo.ops import lifecycle
from evo.session import open_session

app = leaf()


@app.command()
def wait(
    experiments: Annotated[list[str] | None, typer.Argument(metavar="EXP…", help="Default: all that run.")] = None,
    timeout: Annotated[str, typer.Option("--timeout", help="Give up after this long (exit 9).")] = "540",
) -> Reply:
    """evo wait exp_0007 exp_0008 --timeout 9m

    Wait until the experiments have ended, and take them in.
    """
    names = [parse_experiment_id(name) for name in experiments or ()]
    seconds = parse_duration(timeout, name="--timeout") or 0.0
    with open_session() as session, progress() as on_tick:
        swept = lifecycle.wait(session, names, timeout_s=seconds, on_tick=on_tick)
        return swept_reply(swept, failure=lifecycle.first_failure(session, names))
