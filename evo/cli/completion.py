"""`evo completion SHELL`: a script that completes commands by itself and asks evo for the rest.

Invariant: printing a script imports no other leaf; `completion words COMMAND` imports the one that is asked about.
"""

from __future__ import annotations

from importlib import import_module
from typing import Annotated, Any

import typer
import typer.main

from evo.cli.commands import BY_NAME
from evo.cli.options import leaf
from evo.domain.read_views import ScriptView
from evo.domain.views import Reply
from evo.errors import EvoError, UsageError, nearest
from evo.report.lineage import newest_ids

app = leaf()

BASH = """\
_evo() {
    local cur="${COMP_WORDS[COMP_CWORD]}" words="@names@"
    if [ "$COMP_CWORD" -gt 1 ]; then words="$(evo completion words "${COMP_WORDS[1]}" 2>/dev/null)"; fi
    COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -o default -F _evo evo
"""
ZSH = """\
#compdef evo
_evo() {
    local -a found=(@names@)
    if (( CURRENT > 2 )); then found=(${(f)"$(evo completion words ${words[2]} 2>/dev/null)"}); fi
    compadd -a found || _files
}
compdef _evo evo
"""
FISH = """\
complete -c evo -n __fish_use_subcommand -f -a "@names@"
complete -c evo -n "not __fish_use_subcommand" -a "(evo completion words (commandline -opc)[2] 2>/dev/null)"
"""
SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}
EVERYWHERE = ("--json", "-C", "-h", "--help")


@app.command()
def completion(
    shell: Annotated[str, typer.Argument(metavar="SHELL", help="bash, zsh or fish.")],
    command: Annotated[str | None, typer.Argument(hidden=True)] = None,
) -> Reply:
    """evo completion bash > ~/.local/share/bash-completion/completions/evo

    Print the completion script of a shell; put the line above into ~/.bashrc. For zsh the same; for fish:
    evo completion fish > ~/.config/fish/completions/evo.fish
    """
    if shell == "words":
        return Reply(ScriptView(shell, "\n".join(words_for(command or ""))))
    if shell not in SCRIPTS:
        raise UsageError(f"no completion for {shell!r}", hint=nearest(shell, SCRIPTS))
    return Reply(ScriptView(shell, SCRIPTS[shell].replace("@names@", " ".join(BY_NAME))))


def words_for(name: str) -> list[str]:
    """What may follow `evo NAME`: its parts, its options, and experiments where it takes one."""
    if name not in BY_NAME:
        return []
    command = typer.main.get_command(import_module(f"evo.cli.{BY_NAME[name].module}").app)
    parts: dict[str, Any] = getattr(command, "commands", {})
    params = [param for part in (command, *parts.values()) for param in part.params]
    options = sorted({option for param in params for option in param.opts if option.startswith("-")})
    takes_one = any("EXP" in (param.metavar or "") or param.metavar in ("A", "B") for param in params)
    return [*parts, *dict.fromkeys((*options, *EVERYWHERE)), *(_ids() if takes_one else [])]


def _ids() -> list[str]:
    """None outside a workspace: a completion never complains."""
    try:
        return newest_ids()
    except EvoError:
        return []
