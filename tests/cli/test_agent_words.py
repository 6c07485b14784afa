"""What agents rely on: schemas that hold, rehearsals that change nothing, keys that make a repeat harmless."""

from __future__ import annotations

import hashlib
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from workspaces import clean_environment, evo_here, make_command_workspace, new, skilled

from evo.cli.commands import BY_NAME
from evo.cli.replies import VIEWS
from evo.cli.schema import schema_view
from evo.domain.idea import Idea
from evo.session import open_session
from evo.store import ideas


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_command_workspace(tmp_path_factory.mktemp("words") / "ws", n=60)
    new(folder, skilled(0.5), "half of them", "--parent", "exp_0000")
    assert evo_here("run exp_0001", cwd=folder).code == 0
    new(folder, skilled(0.6), "more of them", "--parent", "exp_0001")
    return folder


KINDS: dict[str, Any] = {
    "string": str, "integer": int, "number": (int, float), "boolean": bool, "null": type(None), "object": dict,
    "array": list,
}  # fmt: skip


def holds(value: Any, schema: dict[str, Any], defs: dict[str, Any]) -> bool:
    """Enough of JSON schema for the schemas that evo writes."""
    if "$ref" in schema:
        return holds(value, defs[schema["$ref"].rpartition("/")[2]], defs)
    if "anyOf" in schema:
        return any(holds(value, part, defs) for part in schema["anyOf"])
    if "type" in schema and not isinstance(value, KINDS[schema["type"]]):
        return False
    if isinstance(value, list):
        return all(holds(entry, schema["items"], defs) for entry in value)
    inside = schema.get("properties", {})
    if not set(schema.get("required", [])) <= set(value if isinstance(value, dict) else []):
        return False
    return (
        "enum" not in schema or value in schema["enum"]
        if not inside
        else all(holds(value[name], part, defs) for name, part in inside.items())
    )


@pytest.mark.parametrize(
    "line",
    ["status", "tree", "show exp_0001", "frontier", "next", "brief", "budget", "diff exp_0001", "log exp_0001",
     "log exp_0001 --entry", "log exp_0001 --plan", "log --method", "failures exp_0001", "path exp_0001", "discards",
     "notes", "config show", "config get gate.alpha", "recipe list", "data status", "fsck", "schema", "direct"],
)  # fmt: skip
def test_data_is_what_the_schema_says(workspace: Path, line: str) -> None:
    """`evo schema CMD` is made from the views: real replies hold to one of its shapes."""
    data = evo_here(f"{line} --json", cwd=workspace).data
    shapes = schema_view(line.split()[0]).data
    assert any(holds(data, shape, shape.get("$defs", {})) for shape in shapes.values()), (line, data)


def test_a_wrong_reply_would_be_found() -> None:
    shape = schema_view("status").data["StatusView"]
    assert not holds({"experiments": 1}, shape, shape["$defs"])


def test_every_command_has_a_schema() -> None:
    assert set(VIEWS) == set(BY_NAME)
    for name in BY_NAME:
        assert schema_view(name).command == name


def snapshot(workspace: Path) -> dict[str, str]:
    """Every file but evo's caches, and what the database says."""
    files = {
        str(path.relative_to(workspace)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(workspace.rglob("*"))
        if path.is_file() and ".evo/cache" not in str(path) and path.name not in ("evo.db", "evo.db-wal", "evo.db-shm")
    }
    with closing(sqlite3.connect(workspace / ".evo" / "evo.db")) as db:
        return files | {"database": hashlib.sha256("\n".join(db.iterdump()).encode()).hexdigest()}


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("new --parent exp_0001 --recipe command --set argv=true -m x", 0),
        ("new --parent exp_0002 --recipe command --set argv=true -m x", 4),
        ("run exp_0002", 0),
        ("run exp_0001", 0),
        ("run exp_0009", 3),
        ("discard exp_0001 --reason x", 0),
        ("discard exp_0000 --reason x", 4),
        ("certify exp_0002", 4),
        ("config set gate.alpha 0.1", 0),
        ("config set gate.alpha 7", 2),
        ("config unset run.slots", 0),
        ("data seal --gold nothing.jsonl", 3),
        ("direct hello", 0),
        ("ack 7", 3),
        ("gc", 0),
    ],
)
def test_a_rehearsal_changes_nothing_and_ends_as_the_command_would(workspace: Path, line: str, code: int) -> None:
    before = snapshot(workspace)
    answer = evo_here(f"{line} --dry-run --json", cwd=workspace)
    assert answer.code == code, answer.out
    assert snapshot(workspace) == before


def test_a_rehearsed_run_says_what_it_would_do(workspace: Path) -> None:
    """D3: what is about to happen can be read, and nothing is executed."""
    would = evo_here("run --next --dry-run --json", cwd=workspace).data["would"]
    assert any(line.startswith("start attempt 1 of exp_0002: train (command, seed 42)") for line in would)
    plan = evo_here("log exp_0002 --plan --json", cwd=workspace).data
    assert plan["objective"] == "more of them"
    assert plan["kind"] == "training"
    assert any("dev items wrong" in problem for problem in plan["problems"])
    assert "exp_0001" in plan["success"]


def test_a_key_makes_a_repeat_harmless(workspace: Path) -> None:
    for line in ("note exp_0001 seen --key n1", "direct slow --key d1"):
        first, again = (evo_here(f"{line} --json", cwd=workspace) for _ in range(2))
        assert (first.code, again.code) == (0, 0)
    assert evo_here("show exp_0001 --json", cwd=workspace).data["notes"] == ["seen"]
    assert [one["text"] for one in evo_here("direct --json", cwd=workspace).data["directions"]] == ["slow"]
    assert evo_here("note exp_0001 other --key n1 --json", cwd=workspace).code == 4
    twig = new(workspace, skilled(0.1), "a twig", "--parent", "exp_0001")
    for code in (0, 0):
        assert evo_here(f"discard {twig} --reason no --key x1 --json", cwd=workspace).code == code
    assert evo_here(f"discard {twig} --reason no --json", cwd=workspace).code == 4


def test_directions_are_shown_until_they_are_acknowledged(workspace: Path) -> None:
    evo_here("ack", cwd=workspace)
    given = evo_here("direct stay --json", cwd=workspace).data["directions"][0]["id"]
    assert evo_here("next --json", cwd=workspace).data["steps"][0]["cmd"] == f"evo ack {given}"
    assert [one["id"] for one in evo_here("brief --json", cwd=workspace).data["directions"]] == [given]
    assert evo_here(f"ack {given} --answer yes --json", cwd=workspace).data["directions"][0]["answer"] == "yes"
    assert evo_here("brief --json", cwd=workspace).data["directions"] == []
    assert not evo_here("next --json", cwd=workspace).data["steps"][0]["cmd"].startswith("evo ack")


def test_an_entry_has_thirteen_fields_and_names_the_missing(workspace: Path) -> None:
    """D13: thirteen fields from facts; what nobody has filled is named. D14: paths of large files, not copies."""
    entry = evo_here("log exp_0001 --entry --json", cwd=workspace).data
    assert len(entry) - 2 == 13  # beside the experiment and what is missing
    assert "references" in entry["missing"]
    assert entry["status"] == "completed"
    assert entry["start_checkpoint"].startswith("exp_0000")
    assert entry["artifacts"][0].endswith("attempts/exp_0001/1/output")
    assert evo_here("log exp_0002 --entry --json", cwd=workspace).data["status"] == "blocked"


def test_waiting_for_what_does_not_come_is_busy(workspace: Path) -> None:
    assert evo_here("wait --for ideas --timeout 0.1 --json", cwd=workspace).code == 9
    with open_session(workspace) as session:
        ideas.add(session.db, [Idea("try it", "literature", "command", "it may help", commands=["evo doctor"])])
    assert evo_here("wait --for ideas --timeout 1 --json", cwd=workspace).code == 0
    assert evo_here("brief --json", cwd=workspace).data["ideas_waiting"] == 1
    assert evo_here("wait --for moon --json", cwd=workspace).code == 2


def test_rl_from_the_base_is_a_legal_first_move(workspace: Path) -> None:
    """A2: no supervised step has to come first."""
    made = evo_here("new --parent exp_0000 --recipe grpo -m RL-first --json", cwd=workspace)
    assert made.code == 0
    assert made.data["parent"] == "exp_0000"


def test_the_order_of_a_round_is_kept_by_mechanism(workspace: Path) -> None:
    """D1: plan, data, training, evaluation, log come in this order, and none is skipped."""
    assert evo_here("new --parent exp_0000 --recipe command --set argv=true -m  --json", cwd=workspace).code == 2
    assert evo_here("certify exp_0002 --json", cwd=workspace).code == 4  # not evaluated
    with closing(sqlite3.connect(workspace / ".evo" / "evo.db")) as db:
        rows = db.execute("SELECT kind FROM event WHERE experiment = 'exp_0001' ORDER BY id").fetchall()
    kinds = [row[0] for row in rows]
    order = [kinds.index(kind) for kind in ("created", "claimed", "finished")]
    assert order == sorted(order)


def test_brief_is_light(workspace: Path) -> None:
    """Instant: none of the libraries that take long to import."""
    code = (
        "import sys; from evo.cli import app; app.run(['brief']);"
        "heavy = {'pydantic', 'numpy', 'pandas', 'sqlite_utils', 'torch', 'rich', 'typer', 'ruamel'};"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=workspace, env=clean_environment(), capture_output=True, text=True, check=True
    )
    assert ran.stderr.splitlines()[-1] == "[]", ran.stderr
