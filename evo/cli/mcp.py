"""evo mcp."""

from __future__ import annotations

import sys
from importlib import import_module

from evo.cli import output
from evo.cli.options import leaf
from evo.errors import MissingExtra

app = leaf()


@app.command()
def mcp() -> None:
    """evo mcp

    The tree as tools for a coding agent: a server of the Model Context Protocol on stdin and stdout, until stdin is
    closed. It speaks of the workspace that it was started in.
    """
    try:
        server = import_module("evo.agent.mcp")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in ("mcp", "anyio"):
            raise MissingExtra("mcp", "mcp") from None
        raise
    if sys.stdin.isatty():
        output.warn("speaking MCP on stdin; a client starts this by itself, e.g. claude mcp add evo -- evo mcp")
    server.serve()
