"""The door: words in, one reply out, one exit code.

Invariant: standard output carries data only. Under `--json` it is exactly one document, whatever happens; everything
else goes to standard error. Only here is an unforeseen exception caught: it is a bug, and its traceback is shown.
"""

from __future__ import annotations

import atexit
import gc
import os
import sys
from importlib import import_module
from typing import Any, NamedTuple, NoReturn

from evo.cli import output
from evo.cli.commands import BY_NAME, COMMANDS, Command
from evo.domain.views import Reply
from evo.errors import EvoError, UsageError, nearest

INTERRUPTED = 130
USAGE = """\
  evo demo                      grow a tree of real training runs here, offline
  evo init my-task --model DIR --gold gold.jsonl
  evo new --recipe sft -m "more epochs" --set epochs=4
  evo run exp_0001

Usage: evo COMMAND [OPTIONS]

Every command takes --json (one document on stdout), -C DIR (run as if started there), and -h."""


class Words(NamedTuple):
    """The command line without what every command takes."""

    args: list[str]
    as_json: bool
    folder: str | None


def split_words(argv: list[str]) -> Words:
    """Take `--json` and `-C DIR` out of `argv`, wherever they stand before a bare `--`."""
    end = argv.index("--") if "--" in argv else len(argv)
    head, tail = argv[:end], argv[end:]
    args: list[str] = []
    folder: str | None = None
    as_json = False
    words = iter(head)
    for word in words:
        if word == "--json":
            as_json = True
        elif word == "-C":
            folder = next(words, None)
            if folder is None:
                raise UsageError("-C needs a folder")
        else:
            args.append(word)
    return Words(args + tail, as_json, folder)


def help_text() -> str:
    lines = [USAGE]
    width = max(len(command.name) for command in COMMANDS)
    for group in dict.fromkeys(command.group for command in COMMANDS):
        lines += ["", f"{group}:"]
        lines += [f"  {c.name:<{width}}  {c.help}" for c in COMMANDS if c.group == group]
    return "\n".join(lines)


def dispatch(args: list[str], *, as_json: bool) -> Reply | None:
    """Run one command. None when it has already said all there is (help, version, a stream)."""
    if as_json and not args:
        raise UsageError("no command was named", hint="evo -h")
    if not args or args[0] in ("-h", "--help", "help"):
        output.say(help_text())
        return None
    if args[0] in ("-V", "--version"):
        from importlib.metadata import version

        output.say(f"evo {version('evo-tree')}")
        return None
    command = BY_NAME.get(args[0])
    if command is None:
        raise UsageError(f"no command named {args[0]!r}", hint=nearest(args[0], BY_NAME))
    return answer_plainly(command, args[1:]) or invoke(command.module, args, as_json=as_json)


def answer_plainly(command: Command, words: list[str]) -> Reply | None:
    """The reply of a command that knows how to do without the parser for these words."""
    is_bare = len(words) == command.words and not any(word.startswith("-") for word in words)
    if not command.plain or not (is_bare or command.words is None):
        return None
    module, _, function = command.plain.partition(":")
    reply: Reply | None = getattr(import_module(module), function)(*words)
    return reply


def invoke(module: str, args: list[str], *, as_json: bool) -> Reply | None:
    """Build the one command and call it. A group without a subcommand prints its help, which is no document."""
    import typer.main
    from typer._click import exceptions  # typer 0.28 carries its own click

    leaf = typer.main.get_command(import_module(f"evo.cli.{module}").app)
    try:
        names = ["-h", "--help"]
        named = f"evo {args[0]}"
        reply = leaf.main(args[1:], named, standalone_mode=False, obj=as_json, help_option_names=names)
    except exceptions.NoArgsIsHelpError as error:
        if as_json:
            choice = ", ".join(getattr(leaf, "commands", {}))
            raise UsageError(f"evo {args[0]} needs one of: {choice}", hint=f"evo {args[0]} -h") from None
        output.say(error.format_message())
        return None
    except exceptions.ClickException as error:
        raise UsageError(error.format_message(), hint=f"evo {args[0]} -h") from None
    except typer.Abort:
        raise KeyboardInterrupt from None
    if reply == INTERRUPTED:  # typer has swallowed a KeyboardInterrupt
        raise KeyboardInterrupt
    return reply if isinstance(reply, Reply) else None


def answer(words: list[str]) -> dict[str, Any]:
    """The envelope that `evo WORDS --json` prints, for whoever keeps this process alive. Nothing is printed."""
    try:
        reply = dispatch(words, as_json=True)
        assert reply is not None, "a command without a document"
        return output.document(reply)
    except EvoError as error:
        return output.error_document(error)
    except Exception as error:
        import_module("traceback").print_exc()
        return output.bug_document(error)


def run(argv: list[str]) -> int:
    """The exit code of one command line."""
    as_json = "--json" in argv
    try:
        words = split_words(argv)
        as_json = words.as_json or "--json-lines" in words.args
        if words.folder is not None:
            _enter(words.folder)
        reply = dispatch(words.args, as_json=as_json)
        if reply is None:
            return 0
        output.emit(reply, as_json=as_json)
        return reply.failure.exit_code if reply.failure else 0
    except EvoError as error:
        output.emit_error(error, as_json=as_json)
        return error.exit_code
    except KeyboardInterrupt:
        output.warn("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        import_module("traceback").print_exc()
        output.emit_bug(error, as_json=as_json)
        return 1


def _enter(folder: str) -> None:
    try:
        os.chdir(folder)
    except OSError as error:
        raise UsageError(f"-C {folder}: {error.strerror}") from None


def main() -> NoReturn:
    """Answer the command line and leave, exit handlers done, without taking the interpreter apart (6 of 50 ms)."""
    gc.set_threshold(50_000)  # most commands end before there is anything to collect
    code = run(sys.argv[1:])
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    atexit._run_exitfuncs()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
