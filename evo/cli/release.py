"""evo release."""

from __future__ import annotations

from typing import Annotated

import typer

from evo.cli.options import leaf
from evo.cli.progress import progress
from evo.domain.experiment import parse_experiment_id
from evo.domain.views import Hint, Reply
from evo.ops.judging import release as ops
from evo.session import open_session

app = leaf()


@app.command()
def release(
    experiment: Annotated[str | None, typer.Argument(metavar="EXP", help="Default: the last committed.")] = None,
) -> Reply:
    """evo release

    Open the vault, once, for the final number. A second call returns the stored number and opens nothing.
    """
    name = parse_experiment_id(experiment) if experiment is not None else None
    with open_session() as session, progress() as on_tick:
        view = ops.release(session, name, on_tick)
    return Reply(view, (Hint(f"evo show {view.id}", "the experiment that the number is about"),))
