"""evo export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evo.cli.options import Exp, leaf
from evo.cli.progress import progress
from evo.domain.views import Hint, Reply
from evo.ops.publishing import export as ops
from evo.session import open_session

app = leaf()


@app.command()
def export(
    experiment: Exp,
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="A folder that is new or empty.")],
    merge: Annotated[
        bool, typer.Option("--merge", help="Fold an adapter into its base, stored as the base is.")
    ] = False,
) -> Reply:
    """evo export exp_0007 --to ./my-model --merge

    Write the weights that were scored, as safetensors, with tokenizer, prompt template and config, bound by hash.
    """
    with open_session(readonly=True) as session, progress() as on_tick:
        view = ops.export(session, experiment, to=to, merge=merge, on_tick=on_tick)
    return Reply(view, (Hint(f"evo card {view.id}", "the model card that goes with it"),))
