"""`evo diagnose [EXP]`."""

from __future__ import annotations

from importlib import import_module
from typing import Annotated

import typer

from evo.cli.options import MaybeExp, leaf
from evo.cli.progress import progress
from evo.domain.views import Hint, Reply
from evo.errors import UsageError
from evo.ops.checks import diagnosis as ops
from evo.ops.checks.diagnose import acknowledge
from evo.session import open_session

app = leaf()


@app.command()
def diagnose(
    exp: MaybeExp = None,
    ack: Annotated[
        str | None, typer.Option("--ack", metavar="KIND|ID", help="Say that you have looked: settles that diagnosis.")
    ] = None,
    why: Annotated[str, typer.Option("--why", metavar="TEXT", help="With --ack: what you made of it.")] = "",
    format: Annotated[
        bool, typer.Option("--format", help="Try the base model with and without examples before the question.")
    ] = False,
    shots: Annotated[int, typer.Option("--shots", min=1, max=32, help="With --format: how many examples.")] = 4,
    items: Annotated[int, typer.Option("--items", min=8, help="With --format: how many dev items.")] = 64,
) -> Reply:
    """evo diagnose

    What the tree says of the search, each with its evidence and the command that follows; or one experiment: what was
    found on it, why its wrong answers are wrong, and its training rows beside rendered evaluation prompts.
    """
    if format and (exp is not None or ack is not None):
        raise UsageError("--format is about the base model alone", hint="evo diagnose --format")
    if ack is not None and exp is not None:
        raise UsageError("--ack names a diagnosis of the tree", hint=f"evo diagnose --ack {ack}")
    if why and ack is None:
        raise UsageError("--why says what you made of a diagnosis: name it", hint="evo diagnose --ack KIND --why TEXT")
    if format:
        shots_of_base = import_module("evo.ops.checks.shots")
        with open_session() as session, progress() as on_tick:
            view = shots_of_base.measure_format(session, shots=shots, items=items, on_tick=on_tick)
        return Reply(view, next=(Hint(view.next, view.message),) if view.next else ())
    with open_session(readonly=ack is None) as session:
        settled = "" if ack is None else acknowledge(session, ack, why=why).finding.kind
        found = ops.diagnosis(session, exp, acknowledged=settled)
    return Reply(found, next=ops.steps(found))
