"""evo push."""

from __future__ import annotations

from typing import Annotated

import typer

from evo.cli.dry import DryRun, opened, rehearsed
from evo.cli.options import Exp, leaf
from evo.cli.progress import progress
from evo.domain.views import Reply
from evo.ops.publishing import push as ops
from evo.session import open_session

app = leaf()


@app.command()
def push(
    experiment: Exp,
    repo: Annotated[
        str | None, typer.Option("--repo", metavar="OWNER/NAME", help="On the hub. Default: hub.repo.")
    ] = None,
    private: Annotated[
        bool | None, typer.Option("--private/--public", help="Of a new repository. Default: hub.private.")
    ] = None,
    merge: Annotated[bool, typer.Option("--merge", help="Fold an adapter into its base.")] = False,
    allow_uncertified: Annotated[
        bool, typer.Option("--allow-uncertified", help="Push without a certificate; the card says so.")
    ] = False,
    dry_run: DryRun = False,
) -> Reply:
    """evo push exp_0007 --repo me/my-model

    Put weights and model card on the Hugging Face hub, in one commit. HF_TOKEN is your token; HF_ENDPOINT another hub.
    """
    request = ops.PushRequest(experiment, repo, private, merge, allow_uncertified)
    if dry_run:
        with opened(dry_run) as session:
            would, warnings = ops.rehearse(session, request)
        return rehearsed(f"evo push {experiment}", would, facts={"id": experiment}, warnings=warnings)
    with open_session() as session, progress() as on_tick:
        view, warnings = ops.push(session, request, on_tick)
    return Reply(view, (), warnings)
