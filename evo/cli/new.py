"""evo new."""

from __future__ import annotations

from typing import Annotated

import typer

from evo.cli.branching import new_reply
from evo.cli.dry import DryRun
from evo.cli.options import leaf
from evo.domain.views import Reply
from evo.ops.new import NewRequest

app = leaf()


@app.command()
def new(
    recipe: Annotated[str, typer.Option("--recipe", help="A recipe by name, or a folder.")],
    hypothesis: Annotated[str, typer.Option("-m", "--hypothesis", help="What you expect, and why.")],
    parent: Annotated[str | None, typer.Option("--parent", help="Default: the policy's first pick.")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A parameter.")] = None,
    grid: Annotated[list[str] | None, typer.Option("--grid", metavar="KEY=A,B", help="One node a value.")] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of data order, sampling and training.")] = 42,
    from_artifact: Annotated[
        str | None, typer.Option("--from-artifact", metavar="EXP[:LABEL]", help="Start from these weights.")
    ] = None,
    key: Annotated[str | None, typer.Option("--key", help="Idempotency key: the same key is the same node.")] = None,
    checks: Annotated[
        list[str] | None, typer.Option("--check", metavar="CMD", help="Must succeed before a commit, here and below.")
    ] = None,
    idea: Annotated[
        int | None, typer.Option("--idea", min=1, metavar="ID", help="The idea that it is made from: links the two.")
    ] = None,
    dry_run: DryRun = False,
) -> Reply:
    """evo new --parent exp_0003 --recipe sft -m "a lower rate keeps what it knew" --set lr=1e-5

    Branch a new experiment. The same arguments give the same node.
    """
    many = tuple(settings or ()), tuple(grid or ())
    return new_reply(
        NewRequest(recipe, hypothesis, parent, *many, seed, from_artifact, key, checks=tuple(checks or ())),
        dry_run=dry_run,
        idea=idea,
    )
