"""What ideas tell one to type is read by the real parser."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from importlib import import_module

import pytest
import typer.main
from ideation import task, tree

from evo.cli.app import split_words
from evo.cli.commands import BY_NAME
from evo.ideas.briefs import control, literature
from evo.ideas.knowledge import load
from evo.ideas.remedies import BY_FAILURE, BY_READING, OTHERWISE

LEAK = {"recipe": "sft", "state": "contaminated", "failure": ""}
GAINS = [{"recipe": "grpo", "gain": 0.05}, {"recipe": "sft", "gain": 0.049}, LEAK]
TREES = (
    tree(task("verifiable", "demonstrations")),
    tree(task("verifiable", "demonstrations", base=0.98)),
    tree(task("verifiable", "pairs", "demonstrations", dev_items=100), *GAINS, rounds_without_gain=3),
)


def commands() -> Iterator[str]:
    for remedies in (*BY_FAILURE.values(), *BY_READING.values(), OTHERWISE):
        for remedy in remedies:
            yield from (
                command.format(recipe="grpo", experiment="exp_0002", parent="exp_0001") for command in remedy.commands
            )
    for facts in TREES:
        for idea in (*control.propose(facts, load()), *literature.propose(facts, load())):
            yield from idea.commands


def parse(line: str) -> None:
    words = split_words(shlex.split(line)[1:]).args
    command = typer.main.get_command(import_module(f"evo.cli.{BY_NAME[words[0]].module}").app)
    rest = words[1:]
    while getattr(command, "commands", None) and rest:
        command, rest = command.commands[rest[0]], rest[1:]
    command.make_context(words[0], rest)


@pytest.mark.parametrize("line", sorted(set(commands())))
def test_every_command_of_an_idea_parses(line: str) -> None:
    assert line.startswith("evo ")
    parse(line)


def test_all_kinds_of_commands_are_among_them_and_a_wrong_one_is_found() -> None:
    names = {line.split()[1] for line in commands()}
    assert {"data", "diagnose", "doctor", "eval", "failures", "gate", "gc", "log", "recipe", "run"} <= names
    with pytest.raises(Exception, match="Missing parameter"):
        parse("evo data check")
