"""evo gate."""

from __future__ import annotations

from typing import Annotated

import typer

from evo.cli.options import leaf
from evo.cli.progress import progress
from evo.domain.experiment import parse_experiment_id
from evo.domain.views import Hint, Reply
from evo.ops.checks.calibrate import CalibrateRequest, calibrated
from evo.ops.checks.power import power as power_view
from evo.session import open_session

app = leaf("evo gate power\n\nWhat the gate can show here, and how often it is wrong.")


@app.command()
def power(
    gain: Annotated[float | None, typer.Option("--gain", min=0.0, help="A gain to ask about: 0.05.")] = None,
) -> Reply:
    """evo gate power --gain 0.05

    The smallest gain that is certified with 80 % power here, and the held-out items that a gain needs.
    """
    with open_session(readonly=True) as session:
        return Reply(power_view(session, gain), (Hint("evo gate calibrate", "how often the test accepts nothing"),))


@app.command()
def calibrate(
    runs: Annotated[
        int | None, typer.Option("--runs", min=1, max=1_000_000, help="Draws (2000), or with --exp evaluations (4).")
    ] = None,
    simulate: Annotated[bool, typer.Option("--simulate", help="Draw results instead of using stored ones.")] = False,
    experiment: Annotated[
        str | None, typer.Option("--exp", metavar="EXP", help="Evaluate its weights again and again on dev.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the draws.")] = 0,
) -> Reply:
    """evo gate calibrate --runs 2000

    A/A on dev: the rate at which the gate's test accepts where neither side is better. Stores nothing.
    """
    identifier = None if experiment is None else parse_experiment_id(experiment)
    with open_session() as session, progress() as on_tick:
        return Reply(calibrated(session, CalibrateRequest(runs, simulate, identifier, seed), on_tick))
