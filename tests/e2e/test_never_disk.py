"""What must never happen (DESIGN.md §12) to files, processes and output; test_never.py has the whole list."""

from __future__ import annotations

import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from jobs import processes, unique_sleep
from snapshots import snapshot
from synthetic import EPOCH, chain
from workspaces import SCORE, evo, evo_here, make_command_workspace, new, skilled

from evo.store import db as database
from evo.store import meta


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace to read: 0 committed ─ 1 committed, 2 open and discarded, 3 failed, 4 pending under 1."""
    root = make_command_workspace(tmp_path_factory.mktemp("tree") / "ws", n=150)
    for setting, words in ((skilled(0.9), "good"), (skilled(0.2), "bad"), ("argv=false", "broken")):
        evo("run", new(root, setting, words, "--parent", "exp_0000"), cwd=root)
    new(root, skilled(0.95), "not run", "--parent", "exp_0001")
    assert evo("discard", "exp_0002", "--reason", "worse", cwd=root).code == 0
    assert [node["state"] for node in evo("tree", cwd=root).data["nodes"]] == [
        "committed", "committed", "pending", "discarded", "failed",
    ]  # fmt: skip
    return root


@pytest.fixture(scope="module")
def unscored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_command_workspace(tmp_path_factory.mktemp("unscored") / "ws", n=150)


def test_a_restore_never_commits(tree: Path) -> None:
    """§12: a discarded node restored as committed. A committed one cannot even be discarded."""
    assert evo("discard", "exp_0001", "--reason", "why not", cwd=tree).code == 4
    assert evo("restore", "exp_0001", cwd=tree).code == 4
    assert evo("restore", "exp_0002", cwd=tree).code == 0
    assert evo("show", "exp_0002", cwd=tree).data["state"] == "open"
    assert evo("restore", "exp_0002", cwd=tree).code == 4
    assert evo("discard", "exp_0002", "--reason", "worse", cwd=tree).code == 0


def test_a_timeout_leaves_nothing_running(unscored: Path) -> None:
    """§12: a timeout that leaves the child training. The grandchild left the session and wiped its variables."""
    sleep = unique_sleep()
    line = f"argv=sh -c 'setsid env -i PATH=$PATH {sleep} & {sleep}'"
    (unscored / "score.py").write_text(SCORE)
    experiment = new(unscored, line, "flees", "--parent", "exp_0000")
    began = time.monotonic()
    assert evo("run", experiment, "--timeout", "400ms", cwd=unscored, EVO_RUN_GRACE_S="0.2").code == 7
    assert time.monotonic() - began < 30
    assert processes(sleep) == []


def test_no_lock_and_no_hook_costs_a_score(tmp_path: Path) -> None:
    """§12: a finished score lost to a lock or a failing commit hook. Git is locked and the database is, for a while."""
    workspace = make_command_workspace(tmp_path / "ws", "isolation.level=none", n=150)
    assert evo("run", "exp_0000", cwd=workspace).code == 0
    for hook in ("pre-commit", "commit-msg", "post-commit", "reference-transaction", "post-index-change"):
        path = workspace / ".git" / "hooks" / hook
        path.parent.mkdir(exist_ok=True)
        path.write_text("#!/bin/sh\nexit 1\n")
        path.chmod(0o755)
    locks = [workspace / ".git" / "index.lock", workspace / ".git" / "worktrees" / "exp_0001" / "index.lock"]
    touch = f"argv=sh -c 'touch {locks[0]} {locks[1]}; echo 0.5 > $EVO_CHECKPOINT_DIR/skill.txt; sleep 0.3'"
    experiment = new(workspace, touch, "locks git", "--parent", "exp_0000")
    with closing(sqlite3.connect(workspace / ".evo" / "evo.db", check_same_thread=False)) as db:
        holder = threading.Thread(target=_hold, args=(db, locks[1]))
        holder.start()
        ran = evo("run", experiment, cwd=workspace)
        holder.join()
    assert ran.code == 0, ran.out + ran.err
    assert ran.data["score"] is not None
    assert evo("fsck", cwd=workspace).data["findings"] == []


def _hold(db: sqlite3.Connection, sign: Path) -> None:
    """Hold the database against writers from when `sign` is there for longer than the run needs to end."""
    deadline = time.monotonic() + 60
    while not sign.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    db.execute("BEGIN IMMEDIATE")
    time.sleep(1.2)
    db.execute("ROLLBACK")


@pytest.mark.parametrize("damage", ["truncated", "missing", "empty"])
def test_a_broken_database_is_named(unscored: Path, damage: str) -> None:
    """§12: a truncated state file reported without its name, a missing one read as an empty tree."""
    path = unscored / ".evo" / "evo.db"
    whole = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(whole[: len(whole) // 2] if damage == "truncated" else b"")
    try:
        for words in (["status"], ["tree"], ["next"], ["run", "exp_0000"], ["new", "--recipe", "command", "-m", "x"]):
            answer = evo(*words, cwd=unscored)
            assert answer.code == 4, (words, answer.out)
            assert str(path) in answer.error["message"], words
            assert answer.error["hint"]
        assert path.exists() == (damage != "missing")
    finally:
        path.write_bytes(whole)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("state", ["pending", "open"])
def test_a_deep_tree_hangs_nothing(unscored: Path, state: str) -> None:
    """§12: a 1,100-deep tree hanging a command, with and without scores along the way."""
    deepest = 1100
    with deep_tree(unscored, deepest, state=state):
        last = f"exp_{deepest}"
        for words in ("status", "tree", f"show {last}", f"path {last}", "next", "frontier", "log", "notes", "discards",
                      f"compare exp_0001 {last}", "fsck", f"path {last} --limit 2000"):  # fmt: skip
            answer = evo_here(f"{words} --json", cwd=unscored)
            assert answer.code in (0, 4), (words, answer.out + answer.err)
        assert evo_here(f"discard {last} --reason deep", cwd=unscored).code == 0


@contextmanager
def deep_tree(workspace: Path, n: int, *, state: str) -> Iterator[None]:
    """The workspace with a database of one line of `n` experiments in place of its own."""
    path = workspace / ".evo" / "evo.db"
    kept = path.rename(path.with_name("kept"))
    try:
        chain(path, n, state=state)
        with database.opened(path) as db:
            meta.set(db, "epoch", EPOCH)
        yield
    finally:
        kept.rename(path)


def test_nothing_stands_before_the_json(tmp_path: Path) -> None:
    """§12: text before the JSON on stdout. Training and scorer are noisy on every stream they can reach."""
    noise = "print('noise', flush=True)\nimport sys\nprint('noise', file=sys.stderr, flush=True)\n"
    workspace = make_command_workspace(tmp_path / "ws", n=150, score=noise + SCORE)
    noisy = new(
        workspace, 'argv=sh -c \'echo no""ise; echo no""ise >&2; echo 0.9 > $EVO_CHECKPOINT_DIR/skill.txt\'', "loud"
    )
    for executor in ("inline", "local"):
        ran = evo("run", noisy, "--executor", executor, cwd=workspace, PYTHONWARNINGS="always")
        assert ran.data["score"] is not None  # `data` reads the whole of stdout as one document
        assert "noise" not in ran.out
    assert "noise" in (workspace / ".evo/attempts" / noisy / "1/train.log").read_text()


READING = (
    "status", "tree", "tree --limit 2", "show exp_0000", "show exp_0001", "show exp_0003", "show exp_0004",
    "compare exp_0000 exp_0001", "frontier", "frontier --policy thompson -k 3", "next", "diff exp_0001", "log",
    "log exp_0003", "failures exp_0001", "path exp_0001", "discards", "notes", "config show", "config get max-attempts",
    "recipe list", "recipe show sft", "recipe check command", "data status", "data check data/dev.jsonl", "doctor",
    "fsck", "completion bash", "show exp_0099", "show ../../x", "shwo",
)  # fmt: skip


def test_reading_writes_nothing(tree: Path) -> None:
    """§12: a read command that writes. Every byte, mode and time of the workspace stays, refused commands included."""
    (tree / ".evo" / "worktrees" / "exp_0001" / "edited.py").write_text("an edit that no run has committed yet\n")
    before = snapshot(tree)
    for line in READING:
        answer = evo_here(line, cwd=tree)
        assert answer.code in (0, 2, 3, 5), (line, answer.out + answer.err)
        assert snapshot(tree) == before, line


def test_secrets_never_enter_git(tmp_path: Path) -> None:
    """§12: `.env` committed: not by init around a project that has one, nor from a worktree, nor with a recipe."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / ".env").write_text("TOKEN=secret\n")
    (folder / "main.py").write_text("print()\n")
    workspace = make_command_workspace(folder, n=150)
    (folder / "recipes" / "own").mkdir(parents=True)
    (folder / "recipes" / "own" / "recipe.yaml").write_text(
        "name: own\ntechnique: x\nparams: {argv: {type: str, default: \"sh -c 'true'\"}}\n"
    )
    (folder / "recipes" / "own" / ".env").write_text("TOKEN=secret\n")
    made = evo("new", "--recipe", "own", "-m", "x", "--parent", "exp_0000", cwd=workspace).data
    (Path(made["worktree"]) / ".env").write_text("TOKEN=secret\n")
    (Path(made["worktree"]) / "prod.env").write_text("TOKEN=secret\n")
    assert evo("run", made["id"], cwd=workspace).code == 0
    listed = subprocess.run(
        ["git", "log", "--all", "--name-only", "--format="], cwd=workspace, capture_output=True, text=True, check=True
    ).stdout.split()
    assert "main.py" in listed
    assert "recipe/recipe.yaml" in listed
    assert not [name for name in listed if name.endswith(".env") or name.startswith(".evo")]
