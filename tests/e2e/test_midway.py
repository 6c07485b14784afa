"""Mid-evaluation end to end: what a run hands over, what the tree keeps of it, and what a regression is spared."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
from midway import attempt_folder, await_, command_line, make_paged_workspace, metrics, plan, query, started
from proclist import processes_of
from workspaces import SCORE, evo


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a scored baseline (.4), for tests that look at their own experiments alone."""
    workspace = make_paged_workspace(tmp_path_factory.mktemp("midway") / "ws", "gate.mode=none")
    assert evo("run", "exp_0000", cwd=workspace).code == 0
    return workspace


def mid_rows(workspace: Path, experiment: str) -> list[tuple]:
    sql = "SELECT step, mean, m.n, is_best FROM mid_eval m JOIN attempt a ON a.id = m.attempt"
    return query(workspace, f"{sql} WHERE a.experiment = ? ORDER BY step", experiment)


def mid_items(workspace: Path, experiment: str) -> dict[str, float]:
    sql = "SELECT item, score FROM item_result r JOIN attempt a ON a.id = r.attempt"
    return dict(query(workspace, f"{sql} WHERE a.experiment = ? AND split = 'mid'", experiment))


def test_training_stops_when_it_no_longer_improves_and_hands_over_its_best(shared: Path) -> None:
    """A6, A7, A8, A9, A10: a checkpoint every N steps, each scored by the workspace's own scorer; after two without
    improvement training ends, and the best checkpoint is what is measured, not the last."""
    experiment = plan(shared, 0.55, 0.9, 0.7, 0.7, 1.0)
    answer = evo("run", experiment, cwd=shared)
    assert answer.code == 0, answer.err
    assert [row["step"] for row in metrics(shared, experiment)] == list(range(1, 9)), "five checkpoints were planned"
    folder = attempt_folder(shared, experiment)
    assert (folder / "output" / "skill.txt").read_text() == "0.9"
    assert answer.data["score"]["mean"] > 0.8
    rows = mid_rows(shared, experiment)
    assert [(step, n, is_best) for step, _, n, is_best in rows] == [(2, 32, 0), (4, 32, 1), (6, 32, 0), (8, 32, 0)]
    assert rows[1][1] == max(mean for _, mean, _, _ in rows)
    items = mid_items(shared, experiment)
    assert sum(items.values()) / len(items) == pytest.approx(rows[1][1]), "the items of the best checkpoint are kept"
    told = query(shared, "SELECT data FROM event WHERE experiment = ? AND kind = 'mid_evaluated'", experiment)
    assert [json.loads(data)["best"] for (data,) in told] == [4]
    assert processes_of(shared, experiment) == []


def test_the_score_knows_nothing_of_the_mid_slice(shared: Path) -> None:
    """§7: the mid slice is no part of the score."""
    files = [shared / "data" / f"{name}.jsonl" for name in ("mid", "dev")]
    mid, dev = ({json.loads(line)["id"] for line in file.read_text().splitlines()} for file in files)
    assert mid
    assert not mid & dev
    scored = {item for (item,) in query(shared, "SELECT DISTINCT item FROM item_result WHERE split = 'dev'")}
    assert scored == dev


def test_a_clear_regression_is_not_evaluated_unless_somebody_asks(tmp_path: Path) -> None:
    """A12: below the parent's mid score by more than two standard errors: open, no score, class regressed, never
    picked; `evo run` evaluates it all the same, and spends no attempt."""
    workspace = make_paged_workspace(tmp_path / "ws", "gate.mode=none")
    parent = plan(workspace, 0.9)
    assert evo("run", parent, cwd=workspace).code == 0
    child = plan(workspace, 0.2, 0.1, parent=parent)
    answer = evo("run", child, cwd=workspace)
    assert answer.code == 0
    seen = answer.data
    assert (seen["state"], seen["score"], seen["regressed"]) == ("open", None, True)
    assert [(entry["outcome"], entry["class"]) for entry in seen["attempts"]] == [("ok", "regressed")]
    assert "clearly worse than the parent" in seen["message"]
    assert not (attempt_folder(workspace, child) / "eval" / "summary.json").exists(), "it was evaluated in full"
    assert query(workspace, "SELECT state_class FROM experiment WHERE id = ?", child) == [("regressed",)]
    for policy in ("tree-ucb", "greedy", "thompson", "epsilon-greedy", "softmax"):
        picks = evo("frontier", "--policy", policy, "-k", "8", cwd=workspace).data["picks"]
        assert child not in {pick["id"] for pick in picks}, policy
    swept = evo("sync", cwd=workspace)
    assert (swept.code, swept.data["owed"]) == (0, [])
    assert evo("show", child, cwd=workspace).data["score"] is None, "sync has evaluated it"
    assert evo("fsck", cwd=workspace).data["findings"] == []
    refused = evo("certify", child, cwd=workspace)
    assert refused.code in (4, 5), refused.out

    asked = evo("run", child, cwd=workspace)
    assert asked.code == 0, asked.err + asked.out
    assert asked.data["score"]["mean"] < 0.4
    assert (asked.data["regressed"], len(asked.data["attempts"])) == (False, 1)
    assert query(workspace, "SELECT state_class FROM experiment WHERE id = ?", child) == [("",)]
    again = evo("run", child, cwd=workspace)
    assert "finished before" in again.data["message"]
    assert evo("fsck", cwd=workspace).data["findings"] == []


def test_a_regressed_experiment_is_a_legal_parent_and_counts_as_a_child(tmp_path: Path) -> None:
    workspace = make_paged_workspace(tmp_path / "ws", "gate.mode=none")
    parent = plan(workspace, 0.9)
    assert evo("run", parent, cwd=workspace).code == 0
    before = evo("frontier", cwd=workspace).data["picks"]
    child = plan(workspace, 0.1, parent=parent)
    assert evo("run", child, cwd=workspace).data["regressed"]
    value = {pick["id"]: pick["value"] for pick in evo("frontier", cwd=workspace).data["picks"]}
    assert value[parent] < {pick["id"]: pick["value"] for pick in before}[parent], "a failed try costs its parent"
    grandchild = plan(workspace, 0.95, parent=child)
    assert evo("run", grandchild, cwd=workspace).data["score"]["mean"] > 0.85


def test_a_further_seed_is_always_evaluated(tmp_path: Path) -> None:
    """The score is the mean over seeds: to leave the bad ones out would make it the best."""
    workspace = make_paged_workspace(tmp_path / "ws", "gate.mode=none")
    parent = plan(workspace, 0.9)
    assert evo("run", parent, cwd=workspace).code == 0
    child = plan(workspace, 0.2, parent=parent)
    assert evo("run", child, cwd=workspace).data["regressed"]
    both = evo("run", child, "--seed", "7", cwd=workspace)
    assert both.code == 0
    assert [entry["outcome"] for entry in both.data["attempts"]] == ["ok", "ok"]
    seeds = "SELECT count(DISTINCT attempt) FROM item_result r JOIN attempt a ON a.id = r.attempt"
    assert query(workspace, f"{seeds} WHERE a.experiment = ? AND split = 'dev'", child) == [(2,)]
    assert both.data["seeds"] == 2


def test_what_a_child_is_compared_with_is_scored_beside_every_evaluation(shared: Path) -> None:
    """The baseline, and a recipe that has no mid-evaluation, have mid results too: of the weights that were scored."""
    assert len(mid_items(shared, "exp_0000")) == 32
    recipe = shared / "recipes" / "plain"
    recipe.mkdir()
    text = (shared / "recipes" / "steps" / "recipe.yaml").read_text()
    (recipe / "recipe.yaml").write_text(text.replace("name: steps", "name: plain").replace("mid_eval:", "#"))
    (recipe / "train.py").write_text((shared / "recipes" / "steps" / "train.py").read_text())
    words = ("--set", 'curve=["0.8"]', "-m", "no mid-evaluation on the way", "--parent", "exp_0000")
    experiment = evo("new", "--recipe", "plain", *words, cwd=shared).data["id"]
    assert evo("run", experiment, cwd=shared).code == 0
    assert mid_rows(shared, experiment) == []
    assert len(mid_items(shared, experiment)) == 32
    assert not (attempt_folder(shared, experiment) / "mid").exists()


def test_a_killed_mid_evaluator_is_started_once_more(shared: Path) -> None:
    experiment = plan(shared, 0.5, 0.6, 0.7, 0.8, 0.9, pause=0.1)
    driver = started(shared, experiment)
    folder = attempt_folder(shared, experiment)
    await_((folder / "mid" / "000002.json").exists)
    await_(lambda: evaluators(shared, experiment))
    for pid in evaluators(shared, experiment):
        os.kill(pid, signal.SIGKILL)
    assert driver.wait(60) == 0
    assert [step for step, *_ in mid_rows(shared, experiment)] == [2, 4, 6, 8, 10]
    assert not (folder / "mid" / "down.json").exists()


def evaluators(workspace: Path, experiment: str) -> list[int]:
    return [pid for pid in processes_of(workspace, experiment) if b"--mid" in command_line(pid)]


def test_a_broken_mid_evaluation_breaks_no_run(tmp_path: Path) -> None:
    """§12: a failed evaluator is not replaced by a number: the run goes on without, and is evaluated in full."""
    picky = SCORE.replace("args = parser.parse_args()", 'args = parser.parse_args()\nif "weights" in args.model: 1 / 0')
    workspace = make_paged_workspace(tmp_path / "ws", "gate.mode=none", score=picky)
    experiment = plan(workspace, 0.5, 0.6, 0.7)
    answer = evo("run", experiment, cwd=workspace)
    assert answer.code == 0, answer.err
    folder = attempt_folder(workspace, experiment)
    assert "the evaluation command failed" in json.loads((folder / "mid" / "down.json").read_text())["why"]
    assert "no mid-evaluation at step 2" in (folder / "train.log").read_text()
    assert mid_rows(workspace, experiment) == []
    assert (folder / "output" / "skill.txt").read_text() == "0.7"
    assert len(mid_items(workspace, experiment)) == 32, "its weights have mid results for its children all the same"


def test_answers_that_training_has_forged_are_no_score_and_break_nothing(tmp_path: Path) -> None:
    """§12: whatever a run writes about itself is no score."""
    workspace = make_paged_workspace(tmp_path / "ws", "gate.mode=none")
    page = workspace / "recipes" / "steps" / "train.py"
    forged = """
import json
rows = {"000100": {"mean": 1e999, "step": 100}, "000101": {"step": 101, "mean": True}, "000102": [], "000103": {
    "step": 7, "mean": 1.0, "se": 0.0, "n": 32, "seconds": 1.0, "is_best": True}}
for name, row in rows.items():
    (run.folder / "mid" / f"{name}.json").write_text(json.dumps(row))
(run.folder / "mid" / "000104.json").write_text("{")
(run.folder / "mid" / "000007.jsonl").write_text('{"item": "x", "sample": 0, "score": "much"}')
"""
    page.write_text(page.read_text() + forged)
    experiment = plan(workspace, 0.6)
    answer = evo("run", experiment, cwd=workspace)
    assert answer.code == 0, answer.err + answer.out
    assert answer.data["score"]["mean"] < 0.75
    assert [step for step, *_ in mid_rows(workspace, experiment)] == [2]


def test_any_checkpoint_can_be_branched_from(shared: Path) -> None:
    """A13: training as several nodes, each from a declared checkpoint of another (pattern A), beside verification
    inside one node (pattern B, above); the checkpoints outlive a discard."""
    parent = plan(shared, 0.5, 0.85, 0.6)
    assert evo("run", parent, cwd=shared).code == 0
    assert evo("discard", parent, "--reason", "only its second checkpoint is good", cwd=shared).code == 0
    words = ("--set", 'curve=["0.9"]', "-m", "on from step 2", "--from-artifact", f"{parent}:step-2")
    answer = evo("new", "--parent", "exp_0000", "--recipe", "steps", *words, cwd=shared)
    assert answer.code == 0, answer.err + answer.out
    child = answer.data["id"]
    assert evo("run", child, cwd=shared).code == 0
    facts = json.loads((attempt_folder(shared, child) / "job.json").read_text())["run"]
    assert facts["seed_artifact"] == str(attempt_folder(shared, parent) / "checkpoints" / "checkpoint-2")
    assert (Path(facts["seed_artifact"]) / "skill.txt").read_text() == "0.5"


def test_a_new_epoch_has_mid_results_of_its_own(tmp_path: Path) -> None:
    """§7: results of different epochs are never compared, those on the mid slice neither."""
    workspace = make_paged_workspace(tmp_path / "ws", "gate.mode=none")
    first = plan(workspace, 0.6)
    assert evo("run", first, cwd=workspace).code == 0
    assert evo("config", "set", "eval.seed", "43", cwd=workspace).code == 0
    second = plan(workspace, 0.7)
    assert evo("run", second, cwd=workspace).code == 0
    sql = "SELECT count(DISTINCT eval_hash), count(*) FROM item_result r JOIN attempt a ON a.id = r.attempt"
    assert query(workspace, f"{sql} WHERE experiment = 'exp_0000' AND split = 'mid'") == [(2, 64)]
    grandchild = plan(workspace, 0.75, parent=first)
    assert evo("run", grandchild, cwd=workspace).code == 0
    answer = json.loads((attempt_folder(workspace, grandchild) / "mid" / "000002.json").read_text())
    assert answer["delta"] is None, "its parent has none in this epoch"
    assert evo("rescore", first, cwd=workspace).code == 0
    last = plan(workspace, 0.76, parent=first)
    assert evo("run", last, cwd=workspace).code == 0
    answer = json.loads((attempt_folder(workspace, last) / "mid" / "000002.json").read_text())
    assert answer["delta"] == pytest.approx(0.16, abs=0.12)
