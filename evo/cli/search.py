"""evo search."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from evo.cli.options import leaf
from evo.ops import search_serve

app = leaf("evo search serve --policy tree-ucb --gate certify\n\nThe search as a service for simulators.")


@app.callback()
def search() -> None:
    """evo search serve --policy tree-ucb --gate certify"""


@app.command()
def serve(
    policy: Annotated[str, typer.Option("--policy", help="A search policy by name.")] = "tree-ucb",
    gate: Annotated[str, typer.Option("--gate", help="certify, every-run, strict or none.")] = "certify",
) -> None:
    """evo search serve --policy tree-ucb --gate certify

    JSON lines on stdin and stdout, one reply for each request, state in memory.
    """
    search_serve.serve(sys.stdin, sys.stdout, policy=policy, gate=gate)
