"""evo plugin."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evo.cli.dry import DryRun
from evo.cli.options import leaf
from evo.domain.views import Hint, Reply
from evo.errors import UsageError
from evo.ops import arming
from evo.ops import plugin as ops
from evo.workspace.layout import find_root

app = leaf("evo plugin install --claude\n\nThe plugin for coding agents, and its armed loop.")

Claude = Annotated[bool, typer.Option("--claude", help="For Claude Code.")]
Codex = Annotated[bool, typer.Option("--codex", help="For Codex.")]
Folder = Annotated[
    Path | None, typer.Option("--dir", metavar="DIR", help="The files alone, or where they go for a client.")
]


@app.command()
def install(claude: Claude = False, codex: Codex = False, dir: Folder = None, dry_run: DryRun = False) -> Reply:
    """evo plugin install --claude

    Write the plugin's files and have the client add them; again after an upgrade of evo. Files that you edited are
    left alone and named. --dir is a folder that any client with skills can read.
    """
    client, folder = _chosen(claude, codex, dir)
    view = ops.install(client, folder, dry_run=dry_run)
    kept = [f"{name} was edited and is left as it is" for name in view.kept]
    owed = [ops.OWED[client]] if client in ops.OWED else []
    return Reply(view, (Hint("evo doctor", "what this machine can do"),), (*kept, *owed))


@app.command()
def uninstall(claude: Claude = False, codex: Codex = False, dir: Folder = None, dry_run: DryRun = False) -> Reply:
    """evo plugin uninstall --claude

    Take the plugin's files away, but for those that you edited.
    """
    client, folder = _chosen(claude, codex, dir)
    return Reply(ops.uninstall(client, folder, dry_run=dry_run))


@app.command()
def arm(
    rounds: Annotated[int, typer.Option("--rounds", metavar="N", help="So many more rounds at most.")],
    span: Annotated[str, typer.Option("--for", metavar="TIME", help="And none after this time: 8h.")] = "",
) -> Reply:
    """evo plugin arm --rounds 8 --for 6h

    Let the stop hook ask the agent for another round while rounds, time and budget are left.
    """
    return Reply(
        arming.arm(find_root(Path.cwd()), rounds=rounds, span=span), (Hint("evo plugin disarm", "end it now"),)
    )


@app.command()
def disarm() -> Reply:
    """evo plugin disarm

    No further round is asked for.
    """
    return Reply(arming.disarm(find_root(Path.cwd())))


def _chosen(claude: bool, codex: bool, folder: Path | None) -> tuple[str, Path]:
    if claude + codex > 1 or not (claude or codex or folder):
        raise UsageError("say one of --claude, --codex, or --dir DIR", hint="evo plugin install --claude")
    client = "claude" if claude else "codex" if codex else ""
    return client, (folder or ops.default_folder()).expanduser().absolute()
