"""Partial runs: two children at a quarter of the cost, the better one resumed to the full run (DESIGN §9)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from workspaces import Answer, evo, make_command_workspace

from evo.domain.experiment import experiment_id
from evo.store import db as database
from evo.store import partials

RECIPE = """\
name: climb
technique: climb
fidelity: 0.25
params:
  top: {type: float, default: 0.5, min: 0, max: 1, doc: skill after the last step}
  late: {type: float, default: 0, min: 0, max: 1, doc: what comes after the first quarter only}
"""
PAGE = """\
import math
from evo import recipe

run = recipe.current()
steps = 8
done = 0 if run.resume_from is None else int(run.resume_from.name.partition("-")[2])
for step in range(done + 1, math.ceil(steps * (run.fidelity or 1)) + 1):
    run.log(step=step, loss=1 / step)
    skill = 0.4 + (run.params.top - 0.4) * step / steps + (run.params.late if step > 2 else 0)
    folder = run.checkpoint_dir / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    (folder / "skill.txt").write_text(str(skill))
    (folder / "complete").write_text("{}")
run.finish(folder)
"""


@pytest.fixture
def climbing(tmp_path: Path) -> Path:
    root = make_command_workspace(tmp_path / "ws", "run.smoke=never", n=300)
    own = root / "recipes" / "climb"
    own.mkdir(parents=True)
    (own / "recipe.yaml").write_text(RECIPE)
    (own / "train.py").write_text(PAGE)
    return root


def child(root: Path, top: float, *, late: float = 0.0) -> str:
    sets = ["--set", f"top={top}", "--set", f"late={late}"]
    words = ("new", "--parent", "exp_0000", "--recipe", "climb", "-m", f"up to {top} {late}", *sets)
    return str(evo(*words, cwd=root).data["id"])


def run(root: Path, *words: str) -> Answer:
    answer = evo("run", *words, cwd=root)
    assert answer.code == 0, answer.err + answer.out
    return answer


def steps_of(root: Path, experiment: str) -> list[int]:
    lines = (root / ".evo" / "attempts" / experiment / "1" / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["step"] for line in lines]


def test_the_better_of_two_quarters_is_finished(climbing: Path) -> None:
    """The reading is no score; the promoted run goes on in its attempt, at the step where it paused."""
    low, high = child(climbing, 0.45), child(climbing, 1.0)
    first = run(climbing, low)
    assert first.data["score"] is None
    assert first.data["state"] == "pending"
    assert "partial run at 0.25" in first.data["message"]
    assert steps_of(climbing, low) == [1, 2]

    second = run(climbing, high).data
    assert second["score"]["mean"] > 0.9
    assert steps_of(climbing, high) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert [attempt["n"] for attempt in second["attempts"]] == [1]
    with database.opened(climbing / ".evo" / "evo.db", readonly=True) as db:
        (spent,) = db.execute("SELECT resumes FROM attempt WHERE experiment = ?", (high,)).fetchone()
        assert spent == 0, "its three resumes are for kills"
    with database.opened(climbing / ".evo" / "evo.db", readonly=True) as db:
        readings = {name: partials.of(db, name) for name in (low, high)}
        assert [readings[low].is_promoted, readings[high].is_promoted] == [False, True]
        assert readings[high].gain > readings[low].gain
        pairs = partials.finished(
            db, epoch=db.execute("SELECT epoch FROM experiment WHERE id = ?", (high,)).fetchone()[0]
        )
    assert len(pairs) == 1
    assert pairs[0][1] > pairs[0][0] > 0

    nothing = evo("run", "--next", cwd=climbing)
    assert nothing.code == 3, "what was not promoted is not taken up by itself"
    assert run(climbing, low).data["score"]["n"] > 0, "but on demand"
    assert steps_of(climbing, low) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert evo("fsck", cwd=climbing).code == 0


def test_the_older_one_is_promoted_and_taken_next(climbing: Path) -> None:
    high, low = child(climbing, 1.0), child(climbing, 0.45)
    run(climbing, "--next")
    told = run(climbing, "--next").data
    assert (told["id"], told["state"]) == (low, "pending")
    assert "not promoted" in told["message"]
    assert run(climbing, "--next").data["id"] == high
    assert steps_of(climbing, high) == [1, 2, 3, 4, 5, 6, 7, 8]


def test_partial_runs_end_by_themselves_where_they_tell_nothing(climbing: Path) -> None:
    """Eight promoted pairs whose early and full gains do not correlate: the ninth runs in full, with a warning."""
    run(climbing, "exp_0000")
    with database.opened(climbing / ".evo" / "evo.db") as db:
        epoch = db.execute("SELECT epoch FROM experiment WHERE number = 0").fetchone()[0]
    for k in range(8):
        name = child(climbing, 0.5 + k / 100)
        with database.opened(climbing / ".evo" / "evo.db") as db:
            row = {"experiment": name, "epoch": epoch, "late": 0.05 if k % 2 else -0.05}
            db.execute(
                "INSERT INTO attempt (experiment, n, seed, token, state, outcome, executor, controller, created_at,"
                " ended_at) VALUES (:experiment, 1, 42, :experiment, 'ended', 'ok', 'local', '', '2026', '2026')",
                row,
            )
            partials.add(db, partials.PartialRun(name, 1, 0.25, 0.0, 0.01 * (k // 2)))
            partials.decide(db, promoted=[name], others=[])
            db.execute(
                "UPDATE experiment SET state = 'open', epoch = :epoch, score_mean = 0.5, score_se = 0.02, score_n = 9,"
                " gain = :late, gain_var = 0.0004, seeds = 1, primary_attempt = 1 WHERE id = :experiment",
                row,
            )
    last = run(climbing, child(climbing, 0.9))
    assert last.data["id"] == experiment_id(9)
    assert last.data["score"]["mean"] > 0.8
    assert any("partial runs are off" in warning for warning in last.document["warnings"])
