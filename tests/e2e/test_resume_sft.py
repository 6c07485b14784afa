"""kill -9 in the middle of a real training: the sft page on the tiny model goes on at its last checkpoint."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("trl")

from midway import attempt_folder, await_, kill_page, metrics, query, started
from workspaces import evo

ADDITION = Path(__file__).parents[2] / "workspace_template" / "addition"
PACE = ("learning_rate=1e-3", "max_steps=24", "batch_size=64", "logging_steps=1", "scheduler=constant")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's model and sums; the sft recipe with a checkpoint every six steps."""
    folder = tmp_path_factory.mktemp("sft") / "ws"
    sets = ("run.smoke=never", "gate.mode=none", "eval.max-new-tokens=8", "max-attempts=1")
    answer = evo(
        "init", folder, "--model", ADDITION / "model", "--gold", ADDITION / "gold.jsonl",
        "--train", ADDITION / "train.jsonl", *[word for key in sets for word in ("--set", key)], cwd=folder.parent,
    )  # fmt: skip
    assert answer.code == 0, answer.err + answer.out
    assert evo("recipe", "copy", "sft", cwd=folder).code == 0
    page = folder / "recipes" / "sft" / "recipe.yaml"
    text = page.read_text()
    assert "mid_eval:\n  patience: 2\n" in text
    page.write_text(text.replace("mid_eval:\n  patience: 2\n", "mid_eval:\n  every: 6\n  patience: 9\n"))
    assert evo("run", "exp_0000", cwd=folder, timeout=300).code == 0
    return folder


def planned(workspace: Path, name: str) -> str:
    sets = [word for setting in PACE for word in ("--set", setting)]
    answer = evo("new", "--parent", "exp_0000", "--recipe", "sft", *sets, "-m", name, "--seed", "7", cwd=workspace)
    assert answer.code == 0, answer.err + answer.out
    found: str = answer.data["id"]
    return found


def trained(workspace: Path) -> str:
    """The one that was cut off and gone on with; where another process has that test, one of its own."""
    found = query(workspace, "SELECT id FROM experiment WHERE hypothesis = 'cut off' AND score_mean IS NOT NULL")
    if found:
        return str(found[0][0])
    experiment = planned(workspace, "in one go")
    answer = evo("run", experiment, cwd=workspace, timeout=300)
    assert answer.code == 0, answer.err + answer.out
    return experiment


def losses(workspace: Path, experiment: str) -> dict[int, float]:
    return {row["step"]: row["loss"] for row in metrics(workspace, experiment) if "loss" in row}


def test_a_killed_fine_tuning_goes_on_at_its_checkpoint(workspace: Path) -> None:
    """§12: training at second start beginning again at iteration 1. E6: the optimizer goes with what is resumed, and
    only weights with what is scored. A9, A10: its checkpoints were evaluated, the best one is handed over."""
    experiment = planned(workspace, "cut off")
    driver = started(workspace, experiment)
    folder = attempt_folder(workspace, experiment)
    await_(lambda: max(losses(workspace, experiment), default=0) >= 14, within_s=200)
    kill_page(workspace, experiment)
    assert driver.wait(60) == 6
    before = losses(workspace, experiment)
    checkpoint = folder / "checkpoints" / "checkpoint-12"
    assert {"optimizer.pt", "complete", "model.safetensors"} <= {path.name for path in checkpoint.iterdir()}
    assert evo("show", experiment, cwd=workspace).data["message"].startswith("attempt 1 was interrupted at step 12")

    answer = evo("run", experiment, cwd=workspace, timeout=300)
    assert answer.code == 0, answer.err + answer.out
    after = losses(workspace, experiment)
    steps = [row["step"] for row in metrics(workspace, experiment) if "loss" in row]
    assert steps == sorted(set(steps)), "a step is there twice"
    assert set(range(1, 25)) <= set(steps)
    assert all(math.isclose(before[step], after[step]) for step in before if step <= 12)
    assert math.isclose(before[13], after[13], rel_tol=1e-4), "it did not go on with the same weights and optimizer"
    assert query(workspace, "SELECT n, outcome, resumes FROM attempt WHERE experiment = ?", experiment) == [
        (1, "ok", 1)
    ]
    rows = query(
        workspace,
        "SELECT step, n, mean, is_best FROM mid_eval m JOIN (SELECT id FROM attempt WHERE experiment = ?) a"
        " ON a.id = m.attempt ORDER BY step",
        experiment,
    )
    assert [(step, n) for step, n, *_ in rows] == [(6, 32), (12, 32), (18, 32), (24, 32)]
    assert [mean for *_, mean, is_best in rows if is_best] == [max(mean for *_, mean, _ in rows)]
    assert not {path.name for path in (folder / "output").iterdir()} & {"optimizer.pt", "trainer_state.json"}
    log = (folder / "mid.log").read_text()
    assert "Traceback" not in log


def test_the_answers_of_the_warm_evaluator_are_those_of_the_evaluation(workspace: Path) -> None:
    """A7: mid-evaluation has the scorer, prompt and generation of the score: a fresh process agrees to the item."""
    experiment = trained(workspace)
    folder = attempt_folder(workspace, experiment)
    best = next(
        json.loads(path.read_text()) | {"file": path.with_suffix(".jsonl")}
        for path in sorted((folder / "mid").glob("[0-9]*.json"), reverse=True)
        if path.stem.isdecimal() and json.loads(path.read_text())["is_best"]
    )
    warm = {row["item"]: row["output"] for row in map(json.loads, best["file"].read_text().splitlines())}
    job = json.loads((folder / "eval" / "job.json").read_text())
    job |= {"split": "mid", "items": job["mid"]["items"], "items_sha256": "", "mid": None}
    job["out_dir"] = str(folder / "again")
    (folder / "again.json").write_text(json.dumps(job))
    subprocess.run([sys.executable, "-m", "evo.evaluate", str(folder / "again.json")], check=True, capture_output=True)
    fresh = [json.loads(line) for line in (folder / "again" / "results.jsonl").read_text().splitlines()]
    assert {row["item"]: row["output"] for row in fresh} == warm
