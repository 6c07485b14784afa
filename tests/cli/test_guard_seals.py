"""Guards' sealed items are looked after as the gold's are: listed, checked by hash, named when something is wrong."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from workspaces import Answer, evo_here, make_command_workspace


@pytest.fixture(scope="module")
def sealed_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a guard of 50 items, whose baseline has run."""
    folder = make_command_workspace(tmp_path_factory.mktemp("seals") / "ws", n=60)
    rows = [{"id": f"g{i}", "prompt": f"say number {i}, please", "target": str(i)} for i in range(50)]
    (folder.parent / "talk.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    guards = [{"name": "talk", "items": str(folder.parent / "talk.jsonl"), "margin": 0.2}]
    config = folder / "evo.yaml"
    config.write_text(config.read_text().replace("guards: []", f"guards: {json.dumps(guards)}"))
    assert evo_here("run exp_0000 --json", cwd=folder).code == 0
    return folder


@pytest.fixture
def workspace(sealed_once: Path, tmp_path: Path) -> Path:
    return shutil.copytree(sealed_once, tmp_path / "ws", symlinks=True)


def fsck(workspace: Path) -> Answer:
    return evo_here("fsck --json", cwd=workspace)


def test_a_guards_seal_stands_beside_the_golds(workspace: Path) -> None:
    status = evo_here("data status --json", cwd=workspace).data
    (guard,) = status["guards"]
    assert (guard["name"], guard["dev"], guard["heldout"], guard["intact"]) == ("talk", 20, 30, True)
    assert status["intact"] is True
    assert fsck(workspace).data["findings"] == []
    shown = evo_here("data status", cwd=workspace).out
    assert [line.split() for line in shown.splitlines() if line.startswith("guard")] == [
        ["guard", "talk", "dev", "20", "readable"],
        ["guard", "talk", "heldout", "30", "sealed"],
    ]


def append(path: Path) -> None:
    path.write_text(path.read_text() + "\n")


@pytest.mark.parametrize(
    ("name", "do", "said"),
    [
        (".evo/sealed/guard-talk-heldout.jsonl", append, "is not the file that was sealed"),
        (".evo/sealed/guard-talk-heldout.jsonl", Path.unlink, "is gone"),
        ("data/guard-talk.jsonl", append, "is not the file that was sealed"),
        (".evo/sealed/guards.json", Path.unlink, "is gone"),
        (".evo/sealed/guards.json", lambda path: path.write_text("{}"), "does not name it"),
        (".evo/sealed/guards.json", lambda path: path.write_text("[1"), "guards.json"),
    ],
)
def test_a_broken_guard_seal_is_named(workspace: Path, name: str, do: Callable[[Path], object], said: str) -> None:
    """DESIGN §12: a file that is missing or changed is named, with the exit code of a broken gold; nothing of an item
    is."""
    do(workspace / name)
    broken = fsck(workspace)
    assert broken.code == 4
    (found,) = broken.document["data"]["findings"]
    assert str(workspace / name) in found["what"]
    assert said in found["what"]
    assert "please" not in broken.out
    status = evo_here("data status --json", cwd=workspace)
    assert name.rpartition("/")[2] in status.out
    assert status.code in (2, 4) or status.data["intact"] is False


def test_the_file_that_a_guard_came_from_is_a_plain_copy(workspace: Path) -> None:
    rows = (workspace / ".evo" / "sealed" / "guard-talk-heldout.jsonl").read_text()
    (workspace / "talk.jsonl").write_text(rows)
    status = evo_here("data status --json", cwd=workspace)
    assert status.data["plain_copies"] == [str(workspace / "talk.jsonl")]
    assert any("talk.jsonl holds sealed items in the clear" in said for said in status.document["warnings"])
