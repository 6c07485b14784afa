"""What the documents promise exists: every `evo …` line is read by the real parser."""

from __future__ import annotations

import re
import shlex
from importlib import import_module
from pathlib import Path

import pytest
import typer.main

from evo.cli.app import split_words
from evo.cli.commands import BY_NAME, COMMANDS

ROOT = Path(__file__).resolve().parents[2]
TEXTS = [
    ROOT / "README.md",
    ROOT / "AGENTS.md",
    *sorted((ROOT / "plugins" / "evo").glob("*/*.md")),
    *sorted((ROOT / "plugins" / "evo").glob("skills/*/SKILL.md")),
    *sorted((ROOT / "workspace_template").glob("*/*.md")),
    *sorted((ROOT / "recipes").glob("*/*.md")),
]


def lines_of(text: str) -> list[str]:
    """Commands that stand alone on a line, in a block or behind four spaces, and whole `evo …` words in backticks."""
    alone = re.findall(r"^(?: {4}| {7}|\$ )?(evo [^\n`]*)$", text, flags=re.MULTILINE)
    quoted = re.findall(r"`(evo [a-z][^`]*)`", text)
    found = [line.split("  #")[0].split(" > ")[0].strip() for line in [*alone, *quoted]]
    return [line for line in found if "**" not in line]


def commands() -> list[tuple[str, str]]:
    found = [(path.name, line) for path in TEXTS for line in lines_of(path.read_text(encoding="utf-8"))]
    helps = [(command.name, line.split(" > ")[0]) for command in COMMANDS for line in example_of(command.name)]
    return [pair for pair in [*found, *helps] if not re.search(r"COMMAND|\[", pair[1])]


def example_of(name: str) -> list[str]:
    """The first line of a command's help, and of each of its subcommands'."""
    leaf = typer.main.get_command(import_module(f"evo.cli.{BY_NAME[name].module}").app)
    below = [sub.help or "" for sub in getattr(leaf, "commands", {}).values()]
    return [text.strip().splitlines()[0] for text in [leaf.help or "", *below] if text.strip()]


def parse(line: str) -> None:
    words = split_words(shlex.split(line)[1:]).args
    if words[0] in ("-h", "--help", "--version"):
        return
    command = typer.main.get_command(import_module(f"evo.cli.{BY_NAME[words[0]].module}").app)
    rest = words[1:]
    while getattr(command, "commands", None) and rest:
        command, rest = command.commands[rest[0]], rest[1:]
    command.make_context(words[0], rest, resilient_parsing=is_only_named(line, words))


def is_only_named(line: str, words: list[str]) -> bool:
    """`evo certify` in running text names a command; its arguments are not given."""
    return len(words) == 1 or bool(re.search(r"…|EXP|FILE|KEY|NAME|DIR|ID\b", line))


@pytest.mark.parametrize(("where", "line"), commands(), ids=lambda value: value[:60])
def test_every_command_line_in_the_documents_parses(where: str, line: str) -> None:
    """§12: an unknown option in the README."""
    parse(line)


def test_a_wrong_line_would_be_found() -> None:
    with pytest.raises(Exception, match="No such option"):
        parse("evo run exp_0001 --iters 0")
    with pytest.raises(KeyError):
        parse("evo flywheel --iters 3")


def test_each_command_opens_its_help_with_an_example() -> None:
    for command in COMMANDS:
        first = example_of(command.name)[0]
        assert first.startswith(f"evo {command.name}"), f"{command.name}: {first}"
