"""Words that every command understands alike: help, a group alone, limits, seeds, names of members."""

from __future__ import annotations

import json
import shlex
from importlib import import_module
from pathlib import Path

import pytest
import typer.main
from reading import reading_workspace

from evo.cli import app
from evo.cli.commands import COMMANDS


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return reading_workspace(tmp_path_factory.mktemp("words"))


def all_commands() -> list[str]:
    leaves = {c.name: typer.main.get_command(import_module(f"evo.cli.{c.module}").app) for c in COMMANDS}
    return list(leaves) + [f"{name} {sub}" for name, leaf in leaves.items() for sub in getattr(leaf, "commands", {})]


@pytest.mark.parametrize("words", all_commands())
def test_help_opens_with_an_example(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """DESIGN §5."""
    assert app.run([*words.split(), "-h"]) == 0
    first, _, rest = capsys.readouterr().out.partition("\n")
    assert first.startswith(f"evo {words}"), first
    assert rest.startswith(f"\nUsage: evo {words}")


def test_help_of_evo_opens_with_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["-h"]) == 0
    assert capsys.readouterr().out.startswith("  evo demo")


@pytest.mark.parametrize("group", ["", "config", "recipe", "data", "search"])
def test_a_group_alone_is_one_document_under_json(group: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run([*group.split(), "--json"]) == 2
    answer = json.loads(capsys.readouterr().out)
    assert (answer["ok"], answer["error"]["code"]) == (False, "usage")


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("search serve --policy bogus", 3),
        ("search serve --gate bogus", 3),
        ("frontier --policy bogus", 3),
        ("new --recipe sft -m x --seed -1", 2),
        ("run exp_0005 --seed -1", 2),
    ],
)
def test_names_and_seeds_that_do_not_exist(
    workspace: Path, line: str, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(workspace)
    assert app.run(shlex.split(line)) == code
    assert shlex.split(line)[-1] in capsys.readouterr().err


def test_every_list_takes_a_limit(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """DESIGN §5."""
    monkeypatch.chdir(workspace)
    found = {}
    for command, rows in (("frontier", "picks"), ("log", "events"), ("log 3", "lines")):
        assert app.run([*command.split(), "--limit", "2", "--json"]) == 0
        found[command] = len(json.loads(capsys.readouterr().out)["data"][rows])
    assert found == {"frontier": 2, "log": 2, "log 3": 2}
