"""`--dry-run` of restore, note, adopt and push: the exit code is the command's, and no byte moves."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from snapshots import snapshot
from workspaces import Answer, evo_here, make_command_workspace, new, skilled

from evo.cli.schema import schema_view
from evo.session import open_session
from evo.store import experiments

RECIPE = """\
name: taught
technique: command
description: trains on a file
init_from: base
data:
  train: [{source: data/taught.jsonl}]
params:
  argv: {type: str, default: "true", doc: what is run}
"""
KEPT_BY_HASH = ".evo/cache/leaks"
"""Results of leak checks stay, whoever asks for them."""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """exp_0001 open, exp_0002 discarded, exp_0003 and exp_0004 contaminated, the latter's data to this day."""
    folder = make_command_workspace(tmp_path_factory.mktemp("dry") / "ws", n=60)
    new(folder, skilled(0.5), "half of them", "--parent", "exp_0000")
    assert evo_here("run exp_0001 --json", cwd=folder).data["state"] == "open"
    new(folder, skilled(0.6), "more of them", "--parent", "exp_0001")
    assert evo_here("discard exp_0002 --reason no", cwd=folder).code == 0
    new(folder, skilled(0.7), "most of them", "--parent", "exp_0001")
    (folder / "recipes" / "taught").mkdir(parents=True)
    (folder / "recipes" / "taught" / "recipe.yaml").write_text(RECIPE)
    (folder / "recipes" / "taught" / "train.py").write_text("")
    sealed = (folder / ".evo" / "sealed" / "heldout.jsonl").read_text().splitlines()
    row = next(json.loads(line) for line in sealed if "question" in line)
    (folder / "data" / "taught.jsonl").write_text(json.dumps(row) + "\n")
    assert evo_here("new --recipe taught --parent exp_0000 -m taught", cwd=folder).code == 0
    with open_session(folder) as session:
        for name in ("exp_0003", "exp_0004"):
            experiments.move(session.db, name, "contaminated", reason="it was taught", class_="data")
    (folder.parent / "better").mkdir()
    (folder.parent / "better" / "skill.txt").write_text("0.8\n")
    shutil.copytree(folder / ".evo" / "attempts" / "exp_0001" / "1" / "output", folder.parent / "same")
    return folder


@pytest.fixture(autouse=True)
def a_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody listens there: a rehearsal asks nobody."""
    for name, value in {"HF_TOKEN": "hf_none", "HF_HUB_OFFLINE": "0", "HF_ENDPOINT": "http://127.0.0.1:9"}.items():
        monkeypatch.setenv(name, value)


def contents(workspace: Path) -> dict[str, object]:
    """Every file with its mode and time, and what the database says."""
    found: dict[str, object] = {
        name: facts
        for name, facts in snapshot(workspace).items()
        if not name.startswith((KEPT_BY_HASH, ".evo/evo.db")) and name not in (".evo", ".evo/cache")
    }
    with closing(sqlite3.connect(workspace / ".evo" / "evo.db")) as db:
        return found | {"database": list(db.iterdump())}


def rehearsed(line: str, workspace: Path) -> Answer:
    """The answer to `line --dry-run`, which has changed nothing."""
    before = contents(workspace)
    answer = evo_here(f"{line} --dry-run --json", cwd=workspace)
    assert contents(workspace) == before
    return answer


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("restore exp_0002", 0, "exp_0002 is pending again"),
        ("restore exp_0003", 0, "exp_0003 is pending again"),
        ("restore exp_0004", 5, "still contaminated: data/taught.jsonl, line 1: holds heldout item"),
        ("restore exp_0001", 4, "there is nothing to restore"),
        ("restore exp_0009", 3, "exp_0009"),
        ("note exp_0001 seen --insight wide", 0, "write the insight: wide"),
        ("note exp_0001", 2, "what is to be noted?"),
        ("note exp_0009 seen", 3, "exp_0009"),
        ("adopt ../better --parent exp_0001 -m elsewhere", 0, "make exp_0005 below exp_0001, its lineage declared"),
        ("adopt ../better --parent exp_0002 -m elsewhere", 4, "discarded and cannot be a parent"),
        ("adopt ../same --parent exp_0000 -m elsewhere", 4, "these are the weights of exp_0001"),
        ("adopt ../nothing --parent exp_0000 -m elsewhere", 3, "is no folder"),
        ("push exp_0001 --repo me/sums", 4, "has no certificate"),
        ("push exp_0001 --repo me/sums --allow-uncertified", 0, "as one commit: exp_0001 (UNCERTIFIED)"),
        ("push exp_0001 --repo me --allow-uncertified", 2, "'me' is no repository"),
        ("push exp_0004 --repo me/sums --allow-uncertified", 5, "exp_0004 is contaminated"),
    ],
)
def test_nothing_is_written_and_it_ends_as_the_command_would(workspace: Path, line: str, code: int, said: str) -> None:
    answer = rehearsed(line, workspace)
    assert answer.code == code, answer.out
    told = json.dumps(answer.document)
    assert said in told
    if not code:
        assert set(answer.data) == {"command", "would", "facts"}
        assert "DryRunView" in schema_view(line.split()[0]).data


def test_an_uncertified_push_is_warned_of_before_it(workspace: Path) -> None:
    answer = rehearsed("push exp_0001 --repo me/sums --allow-uncertified", workspace)
    assert answer.document["warnings"] == ["exp_0001 is not certified, and its card says so"]
    assert answer.data["would"][0].startswith("write exp_0001 (files, ")


def test_what_was_foretold_comes_true(workspace: Path) -> None:
    """The same id, the same ends. The last test of this workspace."""
    for line in ("restore exp_0002", "note exp_0001 seen --insight wide"):
        foretold = rehearsed(line, workspace)
        assert evo_here(f"{line} --json", cwd=workspace).code == foretold.code == 0
    assert evo_here("restore exp_0002 --json --dry-run", cwd=workspace).code == 4
    line = "adopt ../better --parent exp_0001 -m elsewhere"
    foretold = rehearsed(line, workspace)
    assert evo_here(f"{line} --json", cwd=workspace).data["id"] == foretold.data["facts"]["id"] == "exp_0005"
    assert rehearsed(line, workspace).data["would"] == [
        "find exp_0005 below exp_0001, which these weights are", "finished before: nothing was started",
    ]  # fmt: skip
