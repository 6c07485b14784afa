"""Commands that answer plain words without their parser mean what the parser would make of them."""

from __future__ import annotations

import inspect

import pytest
import typer.main

from evo.cli import branching
from evo.cli.commands import COMMANDS
from evo.cli.new import app, new
from evo.cli.quick import read_options


def test_plain_new_knows_the_options_of_the_parser() -> None:
    """All but numbers (`--seed`, `--idea`), a flag (`--dry-run`) and the rare `--check`: they go to the parser."""
    command = typer.main.get_command(app)
    spelled = {word: option.name for option in command.params for word in option.opts if option.name != "help"}
    rare = ("seed", "dry_run", "checks", "idea")
    assert {word: key for word, key in spelled.items() if key not in rare} == branching.OPTIONS
    assert set(branching.OPTIONS.values()) <= set(inspect.signature(new).parameters)


@pytest.mark.parametrize(
    "words",
    [
        ["--recipe", "sft"],
        ["--recipe", "sft", "-m", "x", "--sed", "3"],
        ["--recipe", "sft", "-m", "x", "--seed", "3"],
        ["--recipe", "sft", "-m", "x", "-h"],
        ["--recipe", "sft", "-m"],
        ["--recipe", "sft", "--recipe", "dpo", "-m", "x"],
        ["--recipe=sft", "-m", "x"],
        ["stray", "--recipe", "sft", "-m", "x"],
    ],
)
def test_what_is_not_plain_goes_to_the_parser(words: list[str]) -> None:
    assert branching.new_plainly(*words) is None


def test_values_are_taken_as_they_stand() -> None:
    found = read_options(["-m", "a = b", "--set", "x=1", "--set", "y=2"], branching.OPTIONS)
    assert found == {"hypothesis": ["a = b"], "settings": ["x=1", "y=2"]}


def test_every_plain_function_exists() -> None:
    from importlib import import_module

    for command in COMMANDS:
        if command.plain:
            module, _, function = command.plain.partition(":")
            assert callable(getattr(import_module(module), function)), command.name
