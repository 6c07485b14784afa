"""evo hook."""

from __future__ import annotations

from typing import Annotated

import typer

from evo.agent.hooks import hook_reply
from evo.cli.options import leaf
from evo.domain.views import Reply

app = leaf()


@app.command()
def hook(
    event: Annotated[
        str, typer.Argument(metavar="EVENT", help="pre-tool-use, session-start, user-prompt-submit or stop.")
    ],
) -> Reply:
    """evo hook session-start

    Answer a hook of a coding agent: its payload comes on stdin, the answer is what the client reads. No trouble of ours
    stops the client: then nothing is said.
    """
    return hook_reply(event)
