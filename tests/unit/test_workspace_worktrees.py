"""Worktrees: whole after every kill, found again after every loss, many at once."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from evo.domain.experiment import Experiment
from evo.errors import NotFound, Refused
from evo.workspace.layout import Layout
from evo.workspace.repository import (
    add_worktree,
    branch_of,
    commit_files,
    commit_worktree,
    diff,
    ensure_worktree,
    head,
    init,
    remove_worktree,
)


def git(folder: Path, *args: str) -> str:
    done = subprocess.run(["git", "-C", str(folder), *args], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def experiment(identifier: str, commit: str | None = None) -> Experiment:
    return Experiment(
        identifier, "exp_0000", "pending", "h", "sft", "sft", {}, 1, "2026-01-01T00:00:00Z", commit=commit
    )


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path / "ws")
    layout.create()
    (layout.root / ".gitignore").write_text(".evo/\n.env\n")
    layout.config.write_text("name: x\n")
    (layout.root / "data").mkdir()
    (layout.root / "data" / "train.jsonl").write_text("{}\n")
    init(layout.root)
    commit_files(layout.root, [".gitignore", "evo.yaml", "data/train.jsonl"], "start")
    return layout


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    folder = tmp_path / "sft"
    (folder / "__pycache__").mkdir(parents=True)
    (folder / "__pycache__" / "train.pyc").write_text("x")
    (folder / "recipe.yaml").write_text("name: sft\n")
    (folder / "train.py").write_text("print(1)\n")
    return folder


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


WHOLE = [".git", ".gitignore", "data/train.jsonl", "evo.yaml", "recipe/recipe.yaml", "recipe/train.py"]


def test_git_itself_takes_it_for_a_worktree(layout: Layout, recipe: Path) -> None:
    folder = add_worktree(layout, "exp_0007", start_commit=head(layout.root), recipe_folder=recipe)
    assert files_below(folder) == WHOLE
    assert git(folder, "rev-parse", "--abbrev-ref", "HEAD") == "evo/exp_0007"
    assert git(folder, "status", "--porcelain") == "?? recipe/"
    listed = git(layout.root, "worktree", "list", "--porcelain")
    assert f"worktree {folder}\nHEAD {head(layout.root)}\nbranch refs/heads/evo/exp_0007\nlocked kept by evo" in listed
    git(layout.root, "worktree", "prune", "--expire", "now")
    git(layout.root, "gc", "-q", "--prune=now")
    assert git(layout.root, "fsck", "--strict") == ""
    (folder / "evo.yaml").write_text("name: y\n")
    git(folder, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qam", "by hand")
    assert git(layout.root, "log", "-1", "--format=%s", "evo/exp_0007") == "by hand"


def test_a_child_starts_from_its_parents_commit_with_a_fresh_recipe(layout: Layout, recipe: Path) -> None:
    parent = add_worktree(layout, "exp_0001", start_commit=head(layout.root), recipe_folder=recipe)
    (parent / "recipe" / "notes.md").write_text("mine")
    (parent / "own.py").write_text("x")
    start = commit_worktree(layout, "exp_0001", "one").sha
    (recipe / "train.py").write_text("print(2)\n")
    fresh = add_worktree(layout, "exp_0002", start_commit=start, recipe_folder=recipe)
    assert files_below(fresh) == sorted([*WHOLE, "own.py"])
    assert (fresh / "recipe" / "train.py").read_text() == "print(2)\n"
    inherited = add_worktree(layout, "exp_0003", start_commit=start, recipe_folder=None)
    assert (inherited / "recipe" / "notes.md").read_text() == "mine"
    end = commit_worktree(layout, "exp_0002", "two").sha
    assert "-print(1)\n+print(2)" in diff(layout, start, end)
    assert "print" not in diff(layout, start, end, paths=["own.py"])


def test_calling_again_changes_nothing(layout: Layout, recipe: Path) -> None:
    start = head(layout.root)
    folder = add_worktree(layout, "exp_0001", start_commit=start, recipe_folder=recipe)
    (folder / "recipe" / "train.py").write_text("edited")
    commit_worktree(layout, "exp_0001", "edited")
    (folder / "loose.txt").write_text("not committed")
    assert add_worktree(layout, "exp_0001", start_commit=start, recipe_folder=recipe) == folder
    assert ensure_worktree(layout, experiment("exp_0001")) == folder
    assert (folder / "recipe" / "train.py").read_text() == "edited"
    assert (folder / "loose.txt").exists()


def kill_at(step: int, act: object) -> int:
    """Run `act` in a forked process that SIGKILLs itself at the step-th touch of the file system; its exit status."""
    touches = (
        "open",
        "os.mkdir",
        "os.rename",
        "os.remove",
        "os.rmdir",
        "shutil.rmtree",
        "subprocess.Popen",
        "os.scandir",
    )
    pid = os.fork()
    if pid == 0:
        left = step

        def count(event: str, args: object) -> None:
            nonlocal left
            if event in touches:
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        try:
            act()  # type: ignore[operator]
        finally:
            os._exit(0)
    return os.waitpid(pid, 0)[1]


def sweep(act: object, *, check: object) -> int:
    """Kill `act` at its first touch, at its second, …, until it ends by itself; `check` looks after each."""
    for step in range(1, 400):
        status = kill_at(step, act)
        check(step)  # type: ignore[operator]
        if status == 0:
            return step
    raise AssertionError("it never ended")


def test_a_kill_at_any_moment_is_made_good_by_the_next_call(layout: Layout, recipe: Path) -> None:
    """§12: nothing half made stays, wherever `evo new` was killed."""
    start = head(layout.root)
    tree = set()

    def name(step: int) -> str:
        return f"exp_{step:04d}"

    step = 0

    def make() -> None:
        add_worktree(layout, name(step), start_commit=start, recipe_folder=recipe)

    for step in range(1, 400):
        status = kill_at(step, make)
        again = kill_at(step // 2 + 1, make)  # and killed once more while it was being made good
        folder = add_worktree(layout, name(step), start_commit=start, recipe_folder=recipe)
        assert files_below(folder) == WHOLE, step
        tree.add(commit_worktree(layout, name(step), "x").tree)
        if status == 0 and again == 0:
            break
    assert step > 15  # the sweep did reach into it
    assert len(tree) == 1
    assert git(layout.root, "fsck", "--strict") == ""


def test_a_half_made_one_is_completed_without_being_told_how(layout: Layout, recipe: Path) -> None:
    start = head(layout.root)
    place = layout.root / ".git" / "worktrees" / "exp_0005"
    for step in range(1, 400):
        if kill_at(step, lambda: add_worktree(layout, "exp_0005", start_commit=start, recipe_folder=recipe)) == 0:
            break
        if (place / "evo-making").exists():
            assert files_below(ensure_worktree(layout, experiment("exp_0005"))) == WHOLE
            remove_worktree(layout, "exp_0005")
            git(layout.root, "branch", "-D", branch_of("exp_0005"))
    assert (place / "evo-made").exists()


def test_what_was_lost_comes_back_and_what_is_left_is_kept(layout: Layout, recipe: Path) -> None:
    start = head(layout.root)
    folder = add_worktree(layout, "exp_0001", start_commit=start, recipe_folder=recipe)
    (folder / "own.py").write_text("one")
    sha = commit_worktree(layout, "exp_0001", "one").sha
    shutil.rmtree(folder)
    assert (ensure_worktree(layout, experiment("exp_0001")) / "own.py").read_text() == "one"
    (folder / "own.py").write_text("two")
    shutil.rmtree(layout.root / ".git" / "worktrees")
    ensure_worktree(layout, experiment("exp_0001"))
    assert (folder / "own.py").read_text() == "two"
    assert git(folder, "status", "--porcelain").split() == ["M", "own.py"]
    assert git(folder, "rev-parse", "HEAD") == sha


def test_removing_keeps_the_branch_and_a_kill_meanwhile_loses_nothing(layout: Layout, recipe: Path) -> None:
    add_worktree(layout, "exp_0001", start_commit=head(layout.root), recipe_folder=recipe)
    (layout.worktree("exp_0001") / "own.py").write_text("one")
    sha = commit_worktree(layout, "exp_0001", "one").sha

    def check(step: int) -> None:
        folder = ensure_worktree(layout, experiment("exp_0001", sha))
        assert git(folder, "status", "--porcelain") == "", step
        assert git(folder, "rev-parse", "HEAD") == sha

    assert sweep(lambda: remove_worktree(layout, "exp_0001"), check=check) > 5
    remove_worktree(layout, "exp_0001")
    assert not layout.worktree("exp_0001").exists()
    assert git(layout.root, "rev-parse", "evo/exp_0001") == sha
    remove_worktree(layout, "exp_0001")


def test_a_moved_workspace_works_on(layout: Layout, recipe: Path) -> None:
    add_worktree(layout, "exp_0001", start_commit=head(layout.root), recipe_folder=recipe)
    moved = layout.root.rename(layout.root.with_name("moved"))
    assert commit_worktree(Layout(moved), "exp_0001", "after the move").is_new


def test_it_works_where_the_workspace_is_itself_a_worktree(layout: Layout, recipe: Path, tmp_path: Path) -> None:
    git(layout.root, "worktree", "add", "-q", "-b", "side", str(tmp_path / "side"))
    side = Layout(tmp_path / "side")
    folder = add_worktree(side, "exp_0001", start_commit=head(side.root), recipe_folder=recipe)
    assert files_below(folder) == WHOLE
    assert commit_worktree(side, "exp_0001", "x").sha == git(layout.root, "rev-parse", "evo/exp_0001")


def test_what_cannot_be_made_is_refused(layout: Layout, recipe: Path) -> None:
    git(layout.root, "branch", "evo/exp_0009")
    with pytest.raises(Refused, match="evo/exp_0009"):
        add_worktree(layout, "exp_0009", start_commit=head(layout.root), recipe_folder=recipe)
    with pytest.raises(NotFound, match="neither worktree nor branch"):
        ensure_worktree(layout, experiment("exp_0008"))
    with pytest.raises(NotFound):
        commit_worktree(layout, "exp_0007", "x")
    assert list(layout.worktrees.iterdir()) == []
    with pytest.raises(Refused, match="reset"):
        add_worktree(layout, "exp_0007", start_commit="0" * 40, recipe_folder=recipe)


WORKER = """
import sys
from pathlib import Path
from evo.workspace.layout import Layout
from evo.workspace.repository import add_worktree, commit_worktree
root, recipe, start, me = sys.argv[1:]
layout = Layout(Path(root))
for i in range(12):
    number = 100 + i if i % 3 == 0 else 1000 + 100 * int(me) + i   # every third one is wanted by all of them
    add_worktree(layout, f"exp_{number}", start_commit=start, recipe_folder=Path(recipe))
    commit_worktree(layout, f"exp_{number}", "x")
"""


def test_eight_processes_at_once(layout: Layout, recipe: Path) -> None:
    """Issue: eight processes on one workspace, nothing lost, nothing made twice."""
    args = [sys.executable, "-c", WORKER, str(layout.root), str(recipe), head(layout.root)]
    workers = [subprocess.Popen([*args, str(me)], stderr=subprocess.PIPE, text=True) for me in range(8)]
    complaints = [worker.communicate(timeout=120)[1] for worker in workers]
    assert complaints == [""] * 8
    folders = sorted(layout.worktrees.iterdir())
    assert len(folders) == 4 + 8 * 8
    assert all(files_below(folder) == WHOLE for folder in folders)
    trees = git(layout.root, "for-each-ref", "--format=%(tree)", "refs/heads/evo").splitlines()
    assert len(trees) == len(folders)
    assert len(set(trees)) == 1
