"""Which log an attempt points at, and a log in which nothing stands."""

from __future__ import annotations

from pathlib import Path

import pytest
from reading import reading_workspace

from evo.cli import app
from evo.lightdata import replace
from evo.report.show import attempt_view
from evo.session import open_session
from evo.store import attempts
from evo.workspace.layout import Layout


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    built = reading_workspace(tmp_path)
    monkeypatch.chdir(built)
    return built


def test_an_attempt_names_the_log_of_the_stage_that_failed(workspace: Path) -> None:
    with open_session(workspace, readonly=True) as session:
        crashed = replace(attempts.of(session.db, "exp_0003")[0], train_seconds=3.0)
        in_grading = replace(crashed, failure="bad_result", eval_seconds=1.0)
        owed = attempts.of(session.db, "exp_0008")[0]
        logs = [Path(attempt_view(session, attempt).log).name for attempt in (crashed, in_grading, owed)]
    assert logs == ["train.log", "eval.log", "eval.log"]


def test_an_empty_log_says_so(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = Layout(workspace).attempt("exp_0003", 1).train_log
    path.write_text("")
    assert app.run(["log", "3"]) == 0
    assert capsys.readouterr().out == f"the train log of exp_0003, attempt 1, is empty  {path}\n"
