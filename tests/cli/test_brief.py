"""`evo brief`: one bounded page, the person's words as they stand, and what an agent needs when its memory was cut."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from growing import planted
from workspaces import evo_here, make_command_workspace, new, skilled

from evo.domain.finding import Finding
from evo.report.brief import MOST_BYTES, brief_view
from evo.session import open_session
from evo.store import directions, findings

CONSTRAINTS = "- never above rank 16: it must fit on the phone\n- no data from   the support mailbox"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_command_workspace(tmp_path_factory.mktemp("brief") / "ws", "budget.attempts=9", n=60)
    (folder / "mission.md").write_text(f"# Mission\n\nAdd numbers.\n\n## Constraints\n\n{CONSTRAINTS}\n")
    new(folder, skilled(0.5), "half of them", "--parent", "exp_0000")
    assert evo_here("run exp_0001", cwd=folder).code == 0
    return folder


def brief(workspace: Path) -> dict[str, object]:
    found: dict[str, object] = evo_here("brief --json", cwd=workspace).data
    return found


def test_constraints_are_word_for_word_and_the_method_log_has_a_line_each(workspace: Path) -> None:
    """A21: dataset, method, user constraints and hyperparameters of each experiment, and the constraints verbatim."""
    page = brief(workspace)
    assert page["constraints"] == CONSTRAINTS
    assert page["goal"] == "Add numbers."
    assert CONSTRAINTS.splitlines()[1] in evo_here("brief", cwd=workspace).out
    (line,) = page["method_log"]  # type: ignore[misc]
    assert line.startswith("exp_0001 open")
    assert all(part in line for part in ("data ", "command from exp_0000", "constraints as now", "argv=", "seed=42"))
    kept = (workspace / ".evo" / "attempts" / "exp_0001" / "1" / "methodlog.md").read_text().splitlines()
    named = [entry.split(":")[0] for entry in kept[1:]]
    assert named == ["- dataset", "- method", "- constraints", "- hyperparameters"]
    assert "rank 16" in kept[3]


def test_constraints_that_held_then_are_told_apart(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mission = workspace / "mission.md"
    was = mission.read_text()
    mission.write_text(was.replace("rank 16", "rank 8"))
    with contextlib.ExitStack() as stack:
        stack.callback(mission.write_text, was)
        assert "constraints then: - never above rank 16" in brief(workspace)["method_log"][0]  # type: ignore[index]


def test_the_stage_is_stated_and_follows_from_facts(tmp_path: Path, workspace: Path) -> None:
    """D2: base evaluation before local diagnosis, and exploration only when local ideas stall."""
    young = make_command_workspace(tmp_path / "young", n=60)
    assert brief(young)["stage"]["number"] == 1  # type: ignore[index]
    assert brief(workspace)["stage"]["number"] == 2  # type: ignore[index]
    with open_session(workspace) as session:
        for _ in range(3):
            planted(session.db, "exp_0001")
        session.db.execute(
            "UPDATE experiment SET state = 'open', score_mean = .4, score_se = .1, score_n = 30, gain = -.1,"
            " gain_var = .01, epoch = (SELECT epoch FROM experiment WHERE number = 0) WHERE number > 1"
        )
        assert brief_view(session).stage.number == 3


def test_the_page_is_bounded_and_says_what_it_left_out(workspace: Path) -> None:
    """D17: whatever has piled up, at most 6 kB; the constraints stay whole."""
    with open_session(workspace) as session:
        for number in range(40):
            directions.add(session.db, f"direction {number} " + "x" * 900)
        kinds = [Finding("leaks", f"kind {number}", "warn", "y" * 800) for number in range(40)]
        findings.replace(session.db, "leaks", kinds, experiment="exp_0001")
    page = brief(workspace)
    assert len(json.dumps(page, ensure_ascii=False).encode()) <= MOST_BYTES + 200  # separators of the envelope
    assert page["constraints"] == CONSTRAINTS
    assert "method_log" in page["truncated"]  # type: ignore[operator]
    assert page["directions"][0]["id"] == 1  # type: ignore[index]
    assert page["findings"] or "findings" in page["truncated"]  # type: ignore[operator]
