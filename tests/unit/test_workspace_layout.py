from __future__ import annotations

import stat
from pathlib import Path

import pytest

from evo.errors import NotAWorkspace, UsageError
from evo.workspace.layout import Layout, find_root


@pytest.fixture
def workspace(tmp_path: Path) -> Layout:
    (tmp_path / "evo.yaml").write_text("name: x\n")
    layout = Layout(tmp_path)
    layout.create()
    return layout


def test_the_workspace_is_found_from_below(workspace: Layout) -> None:
    below = workspace.root / "data" / "raw"
    below.mkdir(parents=True)
    assert find_root(below).root == workspace.root


def test_a_worktree_leads_to_its_workspace_though_it_holds_evo_yaml(workspace: Layout) -> None:
    inside = workspace.worktree("exp_0007") / "recipe"
    inside.mkdir(parents=True)
    (inside.parent / "evo.yaml").write_text("name: x\n")
    assert find_root(inside).root == workspace.root


def test_a_workspace_below_another_ones_evo_folder_of_no_workspace_counts(tmp_path: Path) -> None:
    own = tmp_path / ".evo" / "mine"
    own.mkdir(parents=True)
    (own / "evo.yaml").write_text("name: x\n")
    assert find_root(own).root == own


def test_no_workspace_names_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(NotAWorkspace, match=r"evo\.yaml") as caught:
        find_root(tmp_path)
    assert "evo init" in caught.value.hint
    assert caught.value.exit_code == 3


@pytest.mark.parametrize("word", ["../../etc", "exp_0001/..", "", "exp_", "exp_1\n", "/etc", "exp_0001/../../x"])
def test_no_path_is_made_from_what_is_no_id(workspace: Layout, word: str) -> None:
    """§12: paths outside the workspace read through an id."""
    with pytest.raises(UsageError):
        workspace.worktree(word)
    with pytest.raises(UsageError):
        workspace.attempt(word, 1)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "data/../../x", "link/passwd"])
def test_names_in_the_config_stay_inside(workspace: Layout, name: str) -> None:
    (workspace.root / "link").symlink_to("/etc")
    with pytest.raises(UsageError, match=r"eval\.files"):
        workspace.inside(name, field="eval.files")
    assert workspace.inside("data/a.txt", field="eval.files") == workspace.root / "data" / "a.txt"


def test_ids_and_attempts_have_one_place(workspace: Layout) -> None:
    assert workspace.worktree("7") == workspace.worktree("exp_0007")
    assert workspace.attempt("7", 2).job == workspace.hidden / "attempts/exp_0007/2/job.json"


def test_sealed_is_for_the_owner_alone(workspace: Layout) -> None:
    assert stat.S_IMODE(workspace.hidden.stat().st_mode) == 0o711
    assert stat.S_IMODE(workspace.sealed.stat().st_mode) == 0o700
