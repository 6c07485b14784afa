"""`evo note`: what is written stays, is found again, and a refused one leaves nothing behind; scripts of completion."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from reading import reading_workspace
from workspaces import evo, make_command_workspace, new, skilled

from evo.cli import app
from evo.report.notes import notes_view
from evo.report.show import experiment_view
from evo.session import open_session


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    built = reading_workspace(tmp_path)
    monkeypatch.chdir(built)
    return built


def test_notes_and_the_insight_are_found_again(workspace: Path) -> None:
    """§11: every finished experiment carries one line of insight."""
    assert app.run(["note", "1", "first"]) == 0
    assert app.run(["note", "exp_0001", "second", "--insight", "two\n epochs  are enough"]) == 0
    assert app.run(["note", "1", "--insight", "one epoch is enough"]) == 0
    with open_session(workspace, readonly=True) as session:
        found = [(note.kind, note.text) for note in notes_view(session, "exp_0001").notes]
        assert sorted(found) == [("insight", "one epoch is enough"), ("note", "first"), ("note", "second")]
        view = experiment_view(session, "exp_0001")
        assert (view.insight, view.notes) == ("one epoch is enough", ["second", "first"])
        assert notes_view(session, limit=2).truncated
        assert {note.experiment for note in notes_view(session).notes} == {"exp_0001", "exp_0002"}


@pytest.mark.parametrize("words", ["1", "1 ''", "1 --insight ' '", f"1 --insight {'x' * 501}", f"1 {'x' * 10_001}"])
def test_a_note_without_words_or_with_too_many_is_refused(words: str, workspace: Path) -> None:
    assert app.run(["note", *shlex.split(words)]) == 2
    with open_session(workspace, readonly=True) as session:
        assert notes_view(session, "exp_0001").notes == []


def test_a_newcomer_can_follow_next(tmp_path: Path) -> None:
    """Every first step that `evo next` names can be typed as it stands, and leads on."""
    workspace = make_command_workspace(tmp_path / "task", n=150)
    followed = []
    for _ in range(4):
        step = evo("next", cwd=workspace).data["steps"][0]["cmd"]
        followed.append(step.split()[1])
        if followed[-1] == "new":
            assert evo(*shlex.split(step)[1:], cwd=workspace).code == 0
            assert evo("discard", "1", "--reason", "a placeholder", cwd=workspace).code == 0
            new(workspace, skilled(0.9), "skill")
            continue
        assert evo(*shlex.split(step)[1:], cwd=workspace).code == 0, step
        if followed[-1] == "run" and len(followed) > 1:
            break
    assert followed == ["run", "new", "run"]
    status = evo("status", cwd=workspace).data
    assert (status["best"], status["best_by"]) == ("exp_0002", "posterior")
    assert status["committed"] == "exp_0002"
    shown = evo("show", "2", cwd=workspace).data
    assert shown["message"] == "committed: certified against exp_0000 (look 1 of 20)"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_name_every_command(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert "@" not in script
    assert {"init", "status", "certify", "failures"} <= set(script.replace('"', " ").replace("(", " ").split())
    assert app.run(["completion", "tcsh"]) == 2
