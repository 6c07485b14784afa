"""What evo puts into git, and what never gets there."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from pathlib import Path

import pytest

from evo.errors import Busy, NotFound, Refused
from evo.workspace import git as git_module
from evo.workspace.layout import Layout
from evo.workspace.repository import (
    add_worktree,
    commit_files,
    commit_worktree,
    exclude,
    head,
    init,
    is_dirty,
    is_repo,
    known_files,
    tracked,
    tree_sha,
    uncommitted,
)
from evo.workspace.staging import is_secret


def git(folder: Path, *args: str) -> str:
    done = subprocess.run(["git", "-C", str(folder), *args], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path / "ws")
    layout.create()
    (layout.root / ".gitignore").write_text(".evo/\n*.log\n")
    layout.config.write_text("name: x\n")
    init(layout.root)
    commit_files(layout.root, [".gitignore", "evo.yaml"], "start")
    return layout


@pytest.fixture
def worktree(layout: Layout) -> Path:
    return add_worktree(layout, "exp_0001", start_commit=head(layout.root), recipe_folder=None)


def names_in(folder: Path, commit: str = "HEAD") -> list[str]:
    return git(folder, "ls-tree", "-r", "--name-only", commit).splitlines()


def test_only_a_change_makes_a_commit(layout: Layout, worktree: Path) -> None:
    start = commit_worktree(layout, "exp_0001", "nothing")
    assert (start.sha, start.is_new) == (head(layout.root), False)
    (worktree / "with space\n and é.txt").write_text("x")
    (worktree / "train.log").write_text("ignored")
    (worktree / "evo.yaml").unlink()
    made = commit_worktree(layout, "exp_0001", "# a message that begins with a hash\n\nand goes on")
    assert made.is_new
    assert made.tree == git(worktree, "rev-parse", "HEAD^{tree}") == tree_sha(layout, made.sha) != start.tree
    assert git(worktree, "ls-tree", "-r", "-z", "--name-only", "HEAD").split("\0")[:2] == [
        ".gitignore",
        "with space\n and é.txt",
    ]
    assert git(worktree, "log", "-1", "--format=%B").startswith("# a message")
    again = commit_worktree(layout, "exp_0001", "nothing")
    assert (again.sha, again.tree, again.is_new) == (made.sha, made.tree, False)


def test_secrets_and_big_files_stay_out_whoever_staged_them(layout: Layout, worktree: Path) -> None:
    """§12: `.env` committed."""
    for name in (".env", "sub/.env.local", "key.pem", "id_rsa", "ok.py", "staged.env"):
        (worktree / name).parent.mkdir(exist_ok=True)
        (worktree / name).write_text("TOKEN=1")
    with (worktree / "weights.bin").open("wb") as file:
        file.truncate(10_000_001)
    git(worktree, "add", "-f", "staged.env", "weights.bin")
    made = commit_worktree(layout, "exp_0001", "x")
    assert names_in(worktree) == [".gitignore", "evo.yaml", "ok.py"]
    left_out = {".env", "sub/.env.local", "key.pem", "id_rsa", "staged.env", "weights.bin"}
    assert {omission.path for omission in made.omitted} == left_out
    assert "limit 10 MB" in " ".join(map(str, made.omitted))
    assert set(uncommitted(layout, "exp_0001")) == left_out
    again = commit_worktree(layout, "exp_0001", "y")
    assert (again.sha, again.is_new) == (made.sha, False)


def test_a_secret_that_git_knew_can_be_taken_out_but_not_changed(layout: Layout, worktree: Path) -> None:
    (worktree / ".env").write_text("old")
    git(worktree, "add", ".env")
    git(worktree, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "by hand")
    (worktree / ".env").write_text("new")
    assert commit_worktree(layout, "exp_0001", "x").is_new is False
    git(worktree, "rm", "-q", "--cached", ".env")
    assert commit_worktree(layout, "exp_0001", "out").is_new is True
    assert names_in(worktree) == [".gitignore", "evo.yaml"]


def test_names_that_are_secrets() -> None:
    assert all(map(is_secret, [".env", "a/.ENV.prod", "prod.env", "x.pem", "id_ed25519", ".netrc", ".git-credentials"]))
    assert not any(map(is_secret, [".env.example", "environment.py", "id_rsa.pub", "envelope.txt", "keys.py", "a.md"]))


def test_no_hook_and_no_setting_of_the_user_stops_a_commit(layout: Layout, worktree: Path) -> None:
    """§12: a finished score lost to a failing commit hook."""
    hooks = layout.root / ".git" / "hooks"
    for name in (
        "pre-commit",
        "commit-msg",
        "prepare-commit-msg",
        "post-commit",
        "post-checkout",
        "reference-transaction",
    ):
        (hooks / name).write_text("#!/bin/sh\ntouch hooked\nexit 1\n")
        (hooks / name).chmod(0o755)
    git(layout.root, "config", "commit.gpgsign", "true")
    git(layout.root, "config", "user.useConfigOnly", "true")
    (worktree / "a.py").write_text("x")
    assert commit_worktree(layout, "exp_0001", "x").is_new
    add_worktree(layout, "exp_0002", start_commit=head(layout.root), recipe_folder=None)
    assert not list(layout.root.rglob("hooked"))


def test_an_author_is_found_where_git_knows_none(
    layout: Layout, worktree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"):
        monkeypatch.setenv(name, "/dev/null")
    git(layout.root, "config", "user.useConfigOnly", "true")
    (worktree / "a.py").write_text("x")
    commit_worktree(layout, "exp_0001", "x")
    assert git(worktree, "log", "-1", "--format=%an <%ae>") == "evo <evo@localhost>"
    git(layout.root, "config", "user.name", "Ann")
    git(layout.root, "config", "user.email", "ann@x")
    (worktree / "a.py").write_text("y")
    commit_worktree(layout, "exp_0001", "y")
    assert git(worktree, "log", "-1", "--format=%an") == "Ann"


def test_the_callers_git_variables_lead_nowhere(
    layout: Layout, worktree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", str(layout.root / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(layout.root / ".git" / "index"))
    (worktree / "a.py").write_text("x")
    commit_worktree(layout, "exp_0001", "x")
    monkeypatch.undo()
    assert "a.py" in names_in(worktree)
    assert names_in(layout.root) == [".gitignore", "evo.yaml"]


def test_without_its_link_a_worktree_is_not_taken_for_the_workspace(layout: Layout, worktree: Path) -> None:
    before = head(layout.root)
    (worktree / ".git").unlink()
    layout.config.write_text("name: edited\n")
    with pytest.raises(NotFound, match="exp_0001"):
        commit_worktree(layout, "exp_0001", "x")
    assert head(layout.root) == before
    assert is_dirty(layout.root)


def test_a_detached_worktree_is_committed_to_its_branch(layout: Layout, worktree: Path) -> None:
    git(worktree, "checkout", "-q", "--detach")
    (worktree / "a.py").write_text("x")
    made = commit_worktree(layout, "exp_0001", "x")
    assert git(layout.root, "rev-parse", "evo/exp_0001") == made.sha


def test_edits_that_cancel_out_make_no_commit(layout: Layout, worktree: Path) -> None:
    (worktree / "evo.yaml").write_text("name: y\n")
    git(worktree, "add", "evo.yaml")
    (worktree / "evo.yaml").write_text("name: x\n")
    assert commit_worktree(layout, "exp_0001", "x").is_new is False


def index_lock(layout: Layout) -> Path:
    return layout.root / ".git" / "worktrees" / "exp_0001" / "index.lock"


def test_a_lock_that_is_let_go_is_waited_for(layout: Layout, worktree: Path) -> None:
    (worktree / "a.py").write_text("x")
    index_lock(layout).touch()
    threading.Timer(0.3, index_lock(layout).unlink).start()
    assert commit_worktree(layout, "exp_0001", "x").is_new


@pytest.mark.parametrize(
    "name", ["worktrees/exp_0001/index.lock", "worktrees/exp_0001/HEAD.lock", "refs/heads/evo/exp_0001.lock"]
)
def test_the_lock_of_a_killed_git_is_removed(layout: Layout, worktree: Path, name: str) -> None:
    """§12: a finished score lost to a lock."""
    (worktree / "a.py").write_text("x")
    lock = layout.root / ".git" / name
    lock.touch()
    long_ago = time.time() - 60
    os.utime(lock, (long_ago, long_ago))
    assert commit_worktree(layout, "exp_0001", "x").is_new


def test_the_lock_of_a_living_git_is_respected(layout: Layout, worktree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(git_module, "LOCK_WAIT_S", 0.5)
    (worktree / "a.py").write_text("x")
    index_lock(layout).touch()
    long_ago = time.time() - 60
    os.utime(index_lock(layout), (long_ago, long_ago))
    with subprocess.Popen(
        ["git", "hash-object", "--stdin"], cwd=worktree, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    ):
        with pytest.raises(Busy, match=r"index\.lock") as caught:
            commit_worktree(layout, "exp_0001", "x")
        assert caught.value.exit_code == 9
        assert index_lock(layout).exists()


def test_own_files_are_committed_alone_and_once(layout: Layout) -> None:
    (layout.root / "mine.py").write_text("x")
    git(layout.root, "add", "mine.py")
    layout.config.write_text("name: y\n")
    first = commit_files(layout.root, ["evo.yaml"], "evo")
    assert names_in(layout.root) == [".gitignore", "evo.yaml"]
    assert git(layout.root, "diff", "--cached", "--name-only") == "mine.py"
    assert commit_files(layout.root, ["evo.yaml"], "evo") == first == head(layout.root)


def test_init_takes_all_of_a_new_repository_and_its_own_of_an_old_one(tmp_path: Path, layout: Layout) -> None:
    new = tmp_path / "new"
    new.mkdir()
    for name in ("evo.yaml", "train.py", ".env", "gold.jsonl", "notes.md"):
        (new / name).write_text("x")
    exclude(new, ["gold.jsonl"])
    exclude(new, ["gold.jsonl"])
    assert (new / ".gitignore").read_text() == "/gold.jsonl\n"
    assert is_repo(new) is False
    init(new)
    assert known_files(new) == [".gitignore", "evo.yaml", "notes.md", "train.py"]
    commit_files(new, known_files(new), "init")
    assert names_in(new) == [".gitignore", "evo.yaml", "notes.md", "train.py"]
    assert is_dirty(new) is False
    (layout.root / "loose.py").write_text("x")
    (layout.root / "score.py").write_text("x")
    assert known_files(layout.root, ["score.py"]) == [".gitignore", "evo.yaml", "score.py"]


def test_what_git_tracks(layout: Layout) -> None:
    (layout.root / "odd*name.jsonl").write_text("x")
    (layout.root / "oddXname.jsonl").write_text("x")
    commit_files(layout.root, ["odd*name.jsonl", "oddXname.jsonl"], "x")
    assert tracked(layout.root, ["odd*name.jsonl", "gold.jsonl"]) == ["odd*name.jsonl"]


def test_an_excluded_name_means_that_file_alone(layout: Layout) -> None:
    exclude(layout.root, ["a*b [1] #.jsonl"])
    for name in ("a*b [1] #.jsonl", "aXb [1] #.jsonl"):
        (layout.root / name).write_text("x")
    assert git(layout.root, "ls-files", "--others", "--exclude-standard") == "aXb [1] #.jsonl"


def test_no_git_no_repository_no_commit(tmp_path: Path, layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "plain").mkdir()
    with pytest.raises(Refused, match="not a git repository"):
        head(tmp_path / "plain")
    init(tmp_path / "plain")
    with pytest.raises(Refused, match="no commit yet"):
        head(tmp_path / "plain")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Refused, match="git is not installed"):
        is_dirty(layout.root)
