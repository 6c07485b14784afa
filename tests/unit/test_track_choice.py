"""Which tracker is used, and how it is named."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from evo.config import EvoConfig
from evo.errors import UsageError
from evo.ops.tracking.track import choose, for_sync, is_logged_in, project_name, run_id

REPOSITORY = Path(__file__).resolve().parents[2]
ALL = {"WANDB_API_KEY": "k" * 40, "TRACKIO_SPACE_ID": "me/space", "MLFLOW_TRACKING_URI": "http://127.0.0.1:1"}


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        (ALL, "wandb"),
        ({key: ALL[key] for key in ("TRACKIO_SPACE_ID", "MLFLOW_TRACKING_URI")}, "trackio"),
        ({"MLFLOW_TRACKING_URI": "http://127.0.0.1:1"}, "mlflow"),
        ({"WANDB_API_KEY": "", "MLFLOW_TRACKING_URI": "file:/x"}, "mlflow"),
        ({"WANDB_PROJECT": "x"}, "none"),
    ],
)
def test_auto_takes_the_first_that_the_environment_speaks_of(environ: dict[str, str], name: str) -> None:
    """A23: WANDB_API_KEY before TRACKIO_SPACE_ID before MLFLOW_TRACKING_URI before nothing."""
    assert choose(EvoConfig(), environ).name == name


def test_a_setting_goes_before_the_environment() -> None:
    assert choose(EvoConfig(track="none"), ALL).name == "none"
    assert choose(EvoConfig(track="mlflow"), ALL).name == "mlflow"


@pytest.mark.parametrize(
    ("wish", "mode"), [("offline", "offline"), ("dryrun", "offline"), ("online", "online"), ("", "online")]
)
def test_wandb_mode_is_obeyed(wish: str, mode: str) -> None:
    assert choose(EvoConfig(), ALL | {"WANDB_MODE": wish}).mode == mode
    assert choose(EvoConfig(track="wandb"), ALL | {"WANDB_MODE": "disabled"}).name == "none"


def test_without_a_login_nobody_is_asked_for_one(tmp_path: Path) -> None:
    nobody = {"HOME": str(tmp_path)}
    assert choose(EvoConfig(track="wandb"), nobody).mode == "offline"
    (tmp_path / ".netrc").write_text("machine elsewhere.example\n  login user\n  password secret\n")
    assert not is_logged_in(nobody)
    (tmp_path / ".netrc").write_text("machine api.wandb.ai\n  login user\n  password secret\n")
    assert is_logged_in(nobody)
    assert not is_logged_in(nobody | {"WANDB_BASE_URL": "https://wandb.example:8080/x"})
    (tmp_path / ".netrc").write_text("machine wandb.example\n  login user\n  password secret\n")
    assert is_logged_in(nobody | {"WANDB_BASE_URL": "https://wandb.example:8080/x"})


ABSENT = """\
from evo.ops.tracking.track import Choice, problem_of
for name in ("wandb", "trackio", "mlflow", "none"):
    print(problem_of(Choice(name, "online", "why")))
"""


def test_an_absent_tracker_is_told_with_its_pip_line_and_a_folder_of_its_name_is_none(tmp_path: Path) -> None:
    """A23: what was not asked for is not installed. The interpreter runs without site-packages."""
    for name in ("wandb", "trackio"):
        (tmp_path / name).mkdir()
    argv = [sys.executable, "-S", "-c", f"import sys; sys.path[:0] = [{str(REPOSITORY)!r}, '']\n{ABSENT}"]
    done = subprocess.run(argv, cwd=tmp_path, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True)
    lines = done.stdout.splitlines()
    assert len(lines) == 4, done.stderr
    for name, line in zip(("wandb", "trackio", "mlflow"), lines, strict=False):
        assert line == f"{name} is not installed (why): pip install 'evo-tree[{name}]'"
    assert lines[3] == ""


def test_sync_writes_to_wandb_where_nothing_else_is_named() -> None:
    assert for_sync(EvoConfig(), {}, offline=False).name == "wandb"
    assert for_sync(EvoConfig(), ALL, offline=True).mode == "offline"
    assert for_sync(EvoConfig(track="mlflow"), {}, offline=False).name == "mlflow"
    with pytest.raises(UsageError, match="track: none"):
        for_sync(EvoConfig(track="none"), ALL, offline=True)
    with pytest.raises(UsageError, match="--offline"):
        for_sync(EvoConfig(track="mlflow"), {}, offline=True)


def test_names_are_those_that_a_tracker_takes() -> None:
    assert project_name(EvoConfig(name="my sums/2: fast?")) == "my-sums-2-fast"
    assert project_name(EvoConfig(name="???")) == "evo"
    assert run_id("sums-3fa2c1", "exp_0007", 2) == "sums-3fa2c1-exp-0007-a2"
