"""The harness that switches guards off: every process of a run is the mutant's."""

from __future__ import annotations

from pathlib import Path

import pytest
from mutants import Change, make_mutant
from workspaces import make_command_workspace, skilled


def test_supervisor_and_evaluator_are_the_mutants(tmp_path: Path) -> None:
    mark = tmp_path / "seen"
    note = "open({!r}, 'a').write({!r})\n"
    mutant = make_mutant(
        tmp_path / "mutant",
        Change("runner/failures.py", "from __future__ import annotations\n",
               "from __future__ import annotations\n" + note.format(str(mark), "S")),
        Change("evaluate/process.py", "from __future__ import annotations\n",
               "from __future__ import annotations\n" + note.format(str(mark), "E")),
    )  # fmt: skip
    workspace = make_command_workspace(tmp_path / "ws", n=60)
    assert mutant.evo("run", "exp_0000", cwd=workspace).code == 0
    made = mutant.evo("new", "--recipe", "command", "--set", skilled(0.5), "-m", "x", cwd=workspace).data
    assert mutant.evo("run", made["id"], cwd=workspace).data["score"] is not None
    assert set(mark.read_text()) == {"S", "E"}
    with pytest.raises(AssertionError, match="0 times"):
        make_mutant(tmp_path / "other", Change("errors.py", "no such line", ""))
