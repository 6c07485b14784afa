"""An evaluation that is owed: it says of the training what held when it trained."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from workspaces import SCORE, clean_environment, evo, evo_here, make_command_workspace, new, skilled

HOLDS = """\
import time
folder = pathlib.Path({folder!r})
(folder / "reached").touch()
while (folder / "hold").exists():
    time.sleep(0.02)
"""


def killed_in_evaluation(workspace: Path, experiment: str) -> None:
    """Run it and kill everything at once, after training."""
    folder = workspace.parent
    (folder / "reached").unlink()
    (folder / "hold").touch()
    words = [sys.executable, "-m", "evo", "run", experiment]
    run = subprocess.Popen(words, cwd=workspace, env=clean_environment(), stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while not (folder / "reached").exists():
            assert run.poll() is None, "it ended before its evaluation"
            assert time.monotonic() < deadline, "its evaluation did not begin"
            time.sleep(0.02)
    finally:
        family = [*psutil.Process(run.pid).children(recursive=True), psutil.Process(run.pid)]
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        run.wait(timeout=30)
        psutil.wait_procs(family, timeout=30)
        (folder / "hold").unlink()


def test_what_a_training_was_held_in_is_said_of_its_later_evaluation_too(tmp_path: Path) -> None:
    """§7: the isolation of a training run is recorded on the attempt and shown on every certificate."""
    workspace = make_command_workspace(tmp_path / "ws", n=150, score=SCORE + HOLDS.format(folder=str(tmp_path)))
    assert evo("run", "exp_0000", cwd=workspace).code == 0
    node = new(workspace, skilled(0.95), "far better than the base", "--parent", "exp_0000")
    killed_in_evaluation(workspace, node)
    file = workspace / ".evo" / "attempts" / node / "1" / "job.json"
    trained = json.loads(file.read_text())
    if trained["isolation"] == "none":
        pytest.skip("nothing isolates here")
    assert evo("run", node, cwd=workspace).code == 0
    owed = json.loads(file.read_text())
    assert (owed["train"], owed["isolation"], owed["watched"]) == (None, trained["isolation"], trained["watched"])
    shown = evo_here(f"show {node} --json", cwd=workspace).data
    assert [one["isolation"] for one in shown["attempts"]] == [trained["isolation"]]
    assert (shown["certificate"]["passed"], shown["certificate"]["isolation"]) == (True, trained["isolation"])
