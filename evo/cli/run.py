"""evo run."""

from __future__ import annotations

from typing import Annotated

import typer

from evo.cli.dry import DryRun
from evo.cli.options import leaf
from evo.cli.running import rehearsal_reply, run_reply, smoke_reply
from evo.domain.experiment import parse_experiment_id
from evo.domain.views import Reply
from evo.errors import UsageError
from evo.ops.runs.run import RunRequest

app = leaf()


@app.command()
def run(
    experiment: Annotated[str | None, typer.Argument(metavar="EXP", help="exp_0007, or 7.")] = None,
    next_: Annotated[bool, typer.Option("--next", help="Run the oldest pending experiment.")] = False,
    smoke: Annotated[bool, typer.Option("--smoke", help="Only try it: ten rows, a few steps, no attempt.")] = False,
    timeout: Annotated[str | None, typer.Option("--timeout", help="End training after 90s, 45m, 2h.")] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Return at once; `evo sync` takes it in.")] = False,
    executor: Annotated[str | None, typer.Option("--executor", help="local or inline.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="A further seed of the same experiment.")] = None,
    rerun: Annotated[bool, typer.Option("--rerun", help="Run content that has a score; never certifiable.")] = False,
    json_lines: Annotated[bool, typer.Option("--json-lines", help="Progress as JSON lines on stdout.")] = False,
    dry_run: DryRun = False,
) -> Reply:
    """evo run exp_0007

    Train, evaluate on dev, and ask the gate when the evidence asks for it. At most one attempt, no retries.
    """
    if (experiment is None) == (not next_):
        raise UsageError("name one experiment, or --next", hint="evo run exp_0001")
    request = RunRequest(
        experiment=parse_experiment_id(experiment) if experiment is not None else None,
        executor=executor,
        timeout=timeout,
        seed=seed,
        detach=detach,
        rerun=rerun,
    )
    if smoke and (next_ or detach or rerun):
        raise UsageError(
            "--smoke goes with an experiment, --timeout, --executor and --seed", hint="evo run exp_0001 --smoke"
        )
    if dry_run:
        return rehearsal_reply(request)
    return smoke_reply(request, json_lines=json_lines) if smoke else run_reply(request, json_lines=json_lines)
