"""What a score is: over samples, seeds, directions, ranges and epochs; and what is no score."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from snapshots import snapshot
from workspaces import SCORE, evo, make_command_workspace, new, skilled, write_gold

NEAR = 1e-9


def luck(item: str) -> float:
    return int(hashlib.sha256(item.encode()).hexdigest()[:8], 16) / 2**32


def dev_items(workspace: Path) -> list[str]:
    return [json.loads(line)["id"] for line in (workspace / "data" / "dev.jsonl").read_text().splitlines()]


def mean_of(workspace: Path, skill: float, salt: str = "") -> float:
    items = dev_items(workspace)
    return sum(luck(item + salt) < skill for item in items) / len(items)


def test_three_samples_are_one_mean(tmp_path: Path) -> None:
    """§7: `eval.samples: k` makes an item's result the mean over k samples, each with a seed of its own."""
    score = SCORE.replace("import argparse,", "import os, argparse,").replace(
        'item["id"].encode()', '(item["id"] + os.environ["EVO_SAMPLE_SEED"]).encode()'
    )
    workspace = make_command_workspace(
        tmp_path / "ws", "eval.samples=3", "eval.seed=5", "gate.mode=none", n=150, score=score
    )
    node = new(workspace, skilled(0.8), "better", "--parent", "exp_0000")
    ran = evo("run", node, cwd=workspace).data
    wanted = sum(mean_of(workspace, 0.8, salt) for salt in ("5", "6", "7")) / 3
    assert ran["score"]["mean"] == pytest.approx(wanted, abs=NEAR)
    assert ran["score"]["n"] == len(dev_items(workspace))
    with closing(sqlite3.connect(workspace / ".evo" / "evo.db")) as db:
        rows = db.execute("SELECT sample, count(*) FROM item_result GROUP BY sample").fetchall()
    assert rows == [(sample, 2 * ran["score"]["n"]) for sample in range(3)]
    looked = evo("eval", node, "--scratch", cwd=workspace).data
    items = dev_items(workspace)
    once = sum(any(luck(item + salt) < 0.8 for salt in ("5", "6", "7")) for item in items) / len(items)
    assert (looked["samples"], looked["pass_at"]) == (3, pytest.approx(once, abs=NEAR))
    assert looked["mean"] < looked["pass_at"]
    assert "pass@3" in evo("eval", node, "--scratch", cwd=workspace, json_=False).out


def test_less_is_better_on_an_open_range(tmp_path: Path) -> None:
    """§7: direction min; inference in units of the base's per-item SD; numbers are shown as they were measured."""
    score = SCORE.replace("float(luck < skill)", "10 * luck * (1 - skill)")
    workspace = make_command_workspace(tmp_path / "ws", "metric.direction=min", "metric.range=none", n=150, score=score)
    worse = new(workspace, skilled(0.1), "more errors", "--parent", "exp_0000")
    better = new(workspace, skilled(0.7), "fewer errors", "--parent", "exp_0000")
    lost = evo("run", worse, cwd=workspace).data
    won = evo("run", better, cwd=workspace).data
    base = evo("show", "exp_0000", cwd=workspace).data["score"]["mean"]
    expected = sum(10 * luck(item) * 0.3 for item in dev_items(workspace)) / len(dev_items(workspace))
    assert won["score"]["mean"] == pytest.approx(expected, abs=NEAR)
    assert won["score"]["mean"] < base < lost["score"]["mean"]
    assert won["delta"]["mean"] == pytest.approx(won["score"]["mean"] - base, abs=NEAR)
    assert won["shrunken"]["mean"] < 0 < lost["shrunken"]["mean"]
    assert (won["state"], lost["state"]) == ("committed", "open")
    assert evo("status", cwd=workspace).data["best"] == better
    compared = evo("compare", worse, better, cwd=workspace).data
    assert compared["delta"]["high"] < 0
    vault = evo("release", cwd=workspace).data["vault"]
    assert vault["low"] < vault["mean"] < vault["high"] < base


def test_a_score_outside_its_range_is_none(tmp_path: Path) -> None:
    """§7: within [0, 20] or the attempt fails; an open range takes any number."""
    score = SCORE.replace("float(luck < skill)", "-1.0")
    closed = make_command_workspace(tmp_path / "closed", "metric.range=[0, 20]", n=60, score=score)
    ran = evo("run", "exp_0000", cwd=closed)
    assert (ran.code, "outside the range" in ran.document["error"]["message"]) == (6, True)


BY_SEED = """\
import json, os, pathlib
seed = json.loads(pathlib.Path(os.environ["EVO_JOB"], "job.json").read_text())["run"]["seed"]
pathlib.Path(os.environ["EVO_CHECKPOINT_DIR"], "skill.txt").write_text({42: "0.5", 7: "0.6", 50: "0.7"}[seed])
"""


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A workspace and a node with three seeds: 42, then 7, then 50."""
    root = make_command_workspace(tmp_path_factory.mktemp("seeds") / "ws", "gate.mode=none", n=150)
    made = evo("new", "--recipe", "command", "--set", "argv=python by_seed.py", "-m", "seeds", "--parent", "exp_0000",
               cwd=root).data  # fmt: skip
    (Path(made["worktree"]) / "by_seed.py").write_text(BY_SEED)
    for words in ([], ["--seed", "7"], ["--seed", "50"]):
        assert evo("run", made["id"], *words, cwd=root).code == 0
    return root, made["id"]


def test_seeds_are_one_mean_and_the_lowest_gives_the_weights(seeded: tuple[Path, str]) -> None:
    """§5: the score is the mean over its seeds, never the best; weights are those of the lowest successful seed."""
    workspace, node = seeded
    shown = evo("show", node, cwd=workspace).data
    wanted = sum(mean_of(workspace, skill) for skill in (0.5, 0.6, 0.7)) / 3
    assert shown["score"]["mean"] == pytest.approx(wanted, abs=NEAR)
    assert (shown["seeds"], [one["seed"] for one in shown["attempts"]]) == (3, [42, 7, 50])
    assert (shown["state"], shown["certificate"]) == ("open", None)  # gate.mode: none
    assert evo("certify", node, cwd=workspace).code == 4
    copy = """argv=sh -c 'cp "$EVO_SEED_ARTIFACT"/skill.txt "$EVO_CHECKPOINT_DIR"/'"""
    child = new(workspace, copy, "a copy", "--parent", node)
    ran = evo("run", child, cwd=workspace).data
    assert (ran["noop"], ran["score"]["mean"]) == (True, pytest.approx(mean_of(workspace, 0.6), abs=NEAR))
    assert evo("run", node, "--seed", "7", cwd=workspace).data["message"].endswith("nothing was started")


def test_a_new_epoch_rescores_every_seed(seeded: tuple[Path, str]) -> None:
    """§7: `evo rescore` brings an open node over, all its seeds with it; changed back, the old results stand again."""
    workspace, node = seeded
    before = evo("show", node, cwd=workspace).data
    (workspace / "score.py").write_text(SCORE.replace("luck < skill", "luck > 1 - skill"))
    assert evo("rescore", node, cwd=workspace).code == 0
    after = evo("show", node, cwd=workspace).data
    items = dev_items(workspace)
    wanted = sum(luck(item) > 1 - skill for item in items for skill in (0.5, 0.6, 0.7)) / (3 * len(items))
    assert after["epoch"] != before["epoch"]
    assert (after["score"]["mean"], after["seeds"]) == (pytest.approx(wanted, abs=NEAR), 3)
    assert len(after["attempts"]) == 3
    (workspace / "score.py").write_text(SCORE)
    assert evo("rescore", node, cwd=workspace).data["score"] == before["score"]


def test_a_new_epoch_rescores_the_root_and_the_committed_before_anything_else(tmp_path: Path) -> None:
    """§7: a change starts an epoch; open nodes need `evo rescore`, after which they are compared again."""
    workspace = make_command_workspace(tmp_path / "ws", n=150)
    kept = new(workspace, skilled(0.9), "committed", "--parent", "exp_0000")
    open_ = new(workspace, skilled(0.3), "open", "--parent", "exp_0000")
    for node in (kept, open_):
        assert evo("run", node, cwd=workspace).code == 0
    assert evo("config", "set", "eval.seed", "6", cwd=workspace).code == 0
    asked = evo("certify", open_, cwd=workspace)
    assert (asked.code, "evo rescore" in asked.error["hint"]) == (4, True)
    epochs = {node: evo("show", node, cwd=workspace).data["epoch"] for node in ("exp_0000", kept, open_)}
    assert epochs["exp_0000"] == epochs[kept] != epochs[open_]
    assert evo("show", kept, cwd=workspace).data["state"] == "committed"
    rescored = evo("rescore", open_, cwd=workspace).data
    assert (rescored["epoch"], rescored["delta"]["mean"] < 0) == (epochs[kept], True)
    assert evo("status", cwd=workspace).data["looks"]["used"] == 1


def test_scratch_is_no_score(tmp_path: Path) -> None:
    """`evo eval --scratch` evaluates an experiment, a folder or other items, and changes nothing of the tree."""
    workspace = make_command_workspace(tmp_path / "ws", "gate.mode=none", n=150)
    node = new(workspace, skilled(0.7), "looked at", "--parent", "exp_0000")
    ran = evo("run", node, cwd=workspace).data
    weights = tmp_path / "weights"
    weights.mkdir()
    (weights / "skill.txt").write_text("0.25")
    suite = write_gold(tmp_path / "suite.jsonl", 10, start=1000)
    before = {name: facts for name, facts in snapshot(workspace).items() if not name.startswith(".evo/cache")}
    seen = [
        evo("eval", node, "--scratch", cwd=workspace).data,
        evo("eval", weights, "--scratch", "--set", "samples=2", cwd=workspace).data,
        evo("eval", node, "--scratch", "--suite", suite, cwd=workspace).data,
    ]
    assert [one["n"] for one in seen] == [ran["score"]["n"], ran["score"]["n"], 10]
    assert seen[0]["mean"] == ran["score"]["mean"]
    assert seen[1]["mean"] == pytest.approx(mean_of(workspace, 0.25), abs=NEAR)
    after = {name: facts for name, facts in snapshot(workspace).items() if not name.startswith(".evo/cache")}
    assert after == before
