"""`evo init` looks at earlier workspaces for their lessons, and none of them can hold it up."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from workspaces import evo, make_command_workspace, new, skilled, write_gold

from evo.ops.ideas.facts import model_facts
from evo.ops.ideas.lessons import recall_at_init
from evo.session import budget_left, open_session
from evo.store import meta


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    """A neighbour with a budget, and a workspace that comes after it."""
    folder = tmp_path_factory.mktemp("neighbours")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EVO_LESSONS", str(folder / "lessons.db"))
        neighbour = make_command_workspace(folder / "before", "budget.attempts=7", n=60)
        new(neighbour, skilled(0.6), "more skill")
        yield neighbour, make_command_workspace(folder / "after", n=60)


def told(root: Path, statement: str) -> None:
    with closing(sqlite3.connect(root / ".evo" / "evo.db")) as db, db:
        db.execute(statement)


@pytest.mark.parametrize("config", ['{"model_type": "lla', "[]", "\udcff", "[" * 100_000])
def test_a_base_that_cannot_be_read_is_no_family(two: tuple[Path, Path], tmp_path: Path, config: str) -> None:
    """Of a neighbour, and of the workspace itself: a truncated file, a list, no UTF-8, nesting without end."""
    (tmp_path / "config.json").write_bytes(config.encode("utf-8", "surrogateescape"))
    for root in two:
        with open_session(root) as session:
            meta.set(session.db, "model_pin", {"path": str(tmp_path)})
            assert model_facts(session) == ("", 0)
    assert recall_at_init(two[1]) == []
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama", "torch_dtype": "bfloat16"}))
    (tmp_path / "model.safetensors").write_bytes(b"12345678")
    with open_session(two[0]) as session:
        assert model_facts(session) == ("llama", 4)


@pytest.mark.parametrize(
    "broken",
    [
        "UPDATE experiment SET params = '[1]' WHERE id = 'exp_0001'",
        "UPDATE meta SET value = '{' WHERE key = 'eval_hash'",
        "UPDATE meta SET value = '[]'",
        "DROP TABLE event",
    ],
)
def test_a_workspace_with_broken_rows_is_passed_over(two: tuple[Path, Path], broken: str) -> None:
    kept = (two[0] / ".evo" / "evo.db").read_bytes()
    try:
        told(two[0], broken)
        assert recall_at_init(two[1]) == []
    finally:
        (two[0] / ".evo" / "evo.db").write_bytes(kept)


@pytest.mark.parametrize("name", ["mission.md", "evo.yaml", "data/dev.jsonl"])
def test_a_workspace_with_broken_files_is_passed_over(two: tuple[Path, Path], name: str) -> None:
    path = two[0] / name
    kept = path.read_bytes()
    try:
        path.write_bytes(b'{"a": \xff\xfe\n[')
        assert recall_at_init(two[1]) == []
    finally:
        path.write_bytes(kept)


def test_init_beside_a_broken_workspace(two: tuple[Path, Path], tmp_path: Path) -> None:
    """As a person sees it: nothing of the neighbour, neither its trouble nor what it may still spend."""
    (tmp_path / "config.json").write_text('{"model_type": "lla')
    with open_session(two[0]) as session:
        meta.set(session.db, "model_pin", {"path": str(tmp_path)})
    gold = write_gold(tmp_path / "gold.jsonl", 60)
    (tmp_path / "score.py").write_text("")
    words = f"init ws --template command --gold {gold} --eval-files score.py --eval-command".split()
    budget_left()  # of the session above, in this same process
    done = evo(*words, "python score.py", cwd=tmp_path)
    assert done.code == 0, done.err
    assert "budget" not in done.document
