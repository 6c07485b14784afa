"""What `evo loop` does after rounds without gain, and what of a round outlasts it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from looping import PAGE, RECIPE, make_loop_workspace, write_recipe
from midway import RECIPE as STEPS
from midway import await_, make_paged_workspace, metrics
from proclist import processes_of
from workspaces import SCORE, clean_environment, evo, evo_here

from evo.ops.loop.margin import LINE

KEYLESS = "--ideator none"


def weak_in_mul(tmp_path: Path, *settings: str) -> Path:
    """A workspace whose items and training rows have two slices; the base is right on `add` alone, and so is all that
    its recipe trains."""
    items = [
        {"id": f"{s}{i}", "prompt": f"{s} {i}", "target": "x", "slice": s} for i in range(50) for s in ("add", "mul")
    ]
    gold, train = tmp_path / "gold.jsonl", tmp_path / "train.jsonl"
    gold.write_text("".join(json.dumps(row) + "\n" for row in items))
    rows = [{"prompt": f"{s} of row {i}", "target": "x", "slice": s} for i in range(20) for s in ("add", "mul")]
    train.write_text("".join(json.dumps(row) + "\n" for row in rows))
    score = SCORE.replace("luck = int", 'luck = -item["id"].startswith("add") or int')
    (tmp_path / "score.py").write_text(score)
    made = evo(
        "init", "ws", "--template", "command", "--gold", gold, "--train", train,
        "--eval-command", "python score.py", "--eval-files", "score.py", *settings, cwd=tmp_path,
    )  # fmt: skip
    assert made.code == 0, made.out
    workspace = tmp_path / "ws"
    recipe = RECIPE.replace("params:", "data:\n  train:\n    - source: data/train.jsonl  # all of it\nparams:")
    page = PAGE.replace("PAUSE", "0").replace("FAILS", "False").replace("math.exp(-2 * apart)", "(apart < 0)")
    write_recipe(workspace, "cube", page, recipe)
    return workspace


def test_e8_after_a_miss_the_rows_of_weak_slices_are_drawn_twice(tmp_path: Path) -> None:
    """E8, E1: three rounds without gain, a slice below 70 % on dev: its training rows stand twice in the data of the
    next experiment, which knows of it; the file itself stays."""
    workspace = weak_in_mul(tmp_path)
    done = evo_here(f"loop --experiments 5 {KEYLESS} --json", cwd=workspace).data
    kinds = [pick["kind"] for pick in done["picks"]]
    assert "data" in kinds, done["picks"]
    pick = done["picks"][kinds.index("data")]
    assert "mul" in pick["why"]
    told = (workspace / ".evo" / "worktrees" / pick["experiment"] / "recipe" / "recipe.yaml").read_text()
    assert "# all of it" in told
    assert "data/loop/train-" in told
    used = next((workspace / "data" / "loop").glob("train-*.jsonl")).read_text().splitlines()
    assert {json.loads(line)["slice"] for line in used} == {"mul"}
    assert len(used) == 20
    assert (workspace / "data" / "train.jsonl").read_text().count("\n") == 40


@pytest.mark.slow
def test_c6_augmentation_has_a_focus_and_a_number(tmp_path: Path) -> None:
    """C6: rows of the weak slice, at most `loop.augment-per-failure` of them for each wrong dev item; by 0, none."""
    workspace = weak_in_mul(tmp_path, "--set", "loop.augment-per-failure=1")
    assert evo_here("run exp_0000 --json", cwd=workspace).code == 0
    failures = evo_here("failures exp_0000 --limit 100 --json", cwd=workspace).data["items"]
    expected = min(20, sum(item["slice"] == "mul" for item in failures))
    assert 0 < expected < 20, "the number shows nothing"
    done = evo_here(f"loop --experiments 4 {KEYLESS} --json", cwd=workspace).data
    assert [pick["kind"] for pick in done["picks"]].count("data") == 1
    used = next((workspace / "data" / "loop").glob("train-*.jsonl")).read_text().splitlines()
    assert (len(used), len(set(used))) == (expected, expected)
    git = ["git", "log", "--name-only", "--format=", "--grep=^iter "]
    files = subprocess.run(git, cwd=workspace, capture_output=True, text=True, check=True).stdout.split()
    assert any(name.startswith("data/loop/train-") for name in files), "the iteration's commit holds its data"
    assert evo_here("config set loop.augment-per-failure 0 --json", cwd=workspace).code == 0
    more = evo_here(f"loop --experiments 9 --fresh {KEYLESS} --json", cwd=workspace).data
    assert all(pick["kind"] != "data" for pick in more["picks"])


def falling(tmp_path: Path, *settings: str) -> Path:
    """A workspace whose recipe is best as it is: whatever is moved falls."""
    workspace = make_loop_workspace(tmp_path / "ws", *settings, page=PAGE.replace("p.rate", "p.learning_rate"))
    recipe = RECIPE.replace("rate: {type: float, default: 1.0e-3", "learning_rate: {type: float, default: 1.0e-2")
    for name, best in (("beta", 0.7), ("warm", 0.5)):
        recipe = recipe.replace(f"{name}: {{type: float, default: 0.2", f"{name}: {{type: float, default: {best}")
    page = PAGE.replace("PAUSE", "0").replace("FAILS", "False").replace("p.rate", "p.learning_rate")
    write_recipe(workspace, "cube", page.replace("-2 * apart", "-9 * apart"), recipe)
    return workspace


@pytest.mark.slow
def test_e1_after_a_fall_the_best_is_tried_at_a_lower_rate(tmp_path: Path) -> None:
    """E1: rounds without gain that fell below what they started from: the best again, at its learning rate times
    `loop.lr-decay`; once, and never where that is 1."""
    workspace = falling(tmp_path, "loop.lr-decay=0.5")
    done = evo_here(f"loop --experiments 7 {KEYLESS} --json", cwd=workspace).data
    lowered = [pick for pick in done["picks"] if "loop.lr-decay" in pick["why"]]
    assert len(lowered) == 1, done["picks"]
    best = evo_here(f"show {lowered[0]['why'].split()[0]} --json", cwd=workspace).data
    params = evo_here(f"show {lowered[0]['experiment']} --json", cwd=workspace).data["recipe"]["params"]
    assert params == best["recipe"]["params"] | {"learning_rate": best["recipe"]["params"]["learning_rate"] / 2}
    assert evo_here("config set loop.lr-decay 1 --json", cwd=workspace).code == 0
    more = evo_here(f"loop --experiments 5 --fresh {KEYLESS} --json", cwd=workspace).data
    assert all("loop.lr-decay" not in pick["why"] for pick in more["picks"])


def git(workspace: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=workspace, capture_output=True, text=True, check=True).stdout


@pytest.mark.slow
def test_c6_what_is_certified_lasts(tmp_path: Path) -> None:
    """C6: a certificate adds a fact to BACKGROUND.md, below what a person wrote, and with `loop.update-recipe` the
    values become the recipe's defaults, comments kept; both in the iteration's commit, a file under edit in none."""
    workspace = make_loop_workspace(tmp_path / "ws", "loop.update-recipe=true", n=300)
    page = PAGE.replace("PAUSE", "0").replace("FAILS", "False")
    write_recipe(workspace, "cube", page, RECIPE.replace("max: 1.0e-1}", "max: 1.0e-1}  # by Ada"))
    git(workspace, "add", "recipes")
    git(workspace, "commit", "-qm", "the cube")
    background = workspace / "BACKGROUND.md"
    background.write_text(background.read_text() + "\nThe items are from 2024.\n")
    done = evo_here(f"loop --experiments 6 {KEYLESS} --json", cwd=workspace).data
    assert done["committed"] != "exp_0000"
    above, _, below = background.read_text().partition(LINE)
    assert above.endswith("\nThe items are from 2024.\n\n")
    assert f"- {done['committed']}: " in below
    certified = evo_here(f"show {done['committed']} --json", cwd=workspace).data["recipe"]["params"]
    defaults = {param["name"]: param["default"] for param in shown_recipe(workspace)}
    assert {name: defaults[name] for name in certified} == certified
    assert "max: 1.0e-1}  # by Ada" in (workspace / "recipes" / "cube" / "recipe.yaml").read_text()
    files = git(workspace, "log", "--name-only", "--format=", "--grep=^iter ").split()
    assert ("recipes/cube/recipe.yaml" in files, "BACKGROUND.md" in files) == (True, False)


ADAPTED = """
import json, struct
header = json.dumps({"lora_B.weight": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
body = struct.pack("<Q", len(header)) + header + struct.pack("<ff", p.beta, p.warm)
(out / "adapter_model.safetensors").write_bytes(body)
(out / "adapter_config.json").write_text('{"peft_type": "LORA", "r": 1}')
run.finish(out)
"""


def test_c8_the_commit_of_an_iteration_holds_its_adapter(tmp_path: Path) -> None:
    """C8: byte for byte what the run left, one after the other; not where that is switched off."""
    workspace = make_loop_workspace(tmp_path / "ws", page=PAGE.replace("run.finish(out)\n", ADAPTED))
    done = evo_here(f"loop --experiments 2 {KEYLESS} --json", cwd=workspace).data
    held = []
    for pick in done["picks"]:
        (commit,) = git(workspace, "log", "--format=%H", f"--grep=^iter {pick['k']}: ").split()
        held.append(git(workspace, "rev-parse", f"{commit}:adapters/loop/adapter_model.safetensors").strip())
        left = workspace / ".evo" / "attempts" / pick["experiment"] / "1" / "output" / "adapter_model.safetensors"
        assert held[-1] == git(workspace, "hash-object", str(left)).strip()
    assert len(set(held)) == 2
    assert evo_here("config set loop.snapshot-adapters false --json", cwd=workspace).code == 0
    assert evo_here(f"loop --experiments 3 {KEYLESS} --json", cwd=workspace).code == 0
    assert git(workspace, "log", "--format=", "--name-only", "-2", "--", "adapters").count("adapter_model") == 2


def test_status_says_how_the_loop_stands(tmp_path: Path) -> None:
    """Completed; running by its word alone is quiet, and what goes on is named."""
    workspace = make_loop_workspace(tmp_path / "ws")
    assert evo_here("status --json", cwd=workspace).data["loop"] is None
    assert evo_here(f"loop --experiments 1 {KEYLESS} --json", cwd=workspace).code == 0
    stand = evo_here("status --json", cwd=workspace).data["loop"]
    assert stand == {"id": 1, "status": "completed", "made": 1, "wanted": 1, "reason": "1 experiment made"}
    with sqlite3.connect(workspace / ".evo" / "evo.db") as db:
        db.execute("UPDATE loop SET status = 'running', reason = ''")
    assert evo_here("status --json", cwd=workspace).data["loop"]["status"] == "running"
    os.utime(workspace / ".evo" / "loop" / "heartbeat.json", (1, 1))
    stand = evo_here("status --json", cwd=workspace).data["loop"]
    assert (stand["status"], f"its process {os.getpid()} is there and has said nothing" in stand["reason"]) == (
        "quiet",
        True,
    )
    assert "loop 1 quiet, 1 of 1 experiments" in evo_here("status", cwd=workspace).out
    busy = evo_here("loop -n 2 --json", cwd=workspace)
    assert (busy.code, f"kill -CONT {os.getpid()}" in busy.error["hint"]) == (9, True), busy.out


def shown_recipe(workspace: Path) -> list[dict[str, object]]:
    found: list[dict[str, object]] = evo_here("recipe show cube --json", cwd=workspace).data["params"]
    return found


@pytest.mark.slow
@pytest.mark.parametrize("word", ["TERM", "KILL"])
def test_c14_a_training_that_a_stop_cut_off_goes_on_at_its_checkpoint(tmp_path: Path, word: str) -> None:
    """C14: a loop that is stopped, or killed with its worker, costs no step that was saved, and no attempt."""
    recipe = STEPS.replace('default: ["0.5"]', 'default: ["0.5", "0.6", "0.7", "0.8", "0.9"]')
    recipe = recipe.replace("default: 0.0, min: 0", "default: 0.2, min: 0.1, max: 0.3")
    workspace = make_paged_workspace(tmp_path / "ws", "gate.mode=none", "run.grace-s=0.5", recipe=recipe)
    assert evo("run", "exp_0000", cwd=workspace).code == 0
    words = [sys.executable, "-m", "evo", "loop", "-n", "1", "--ideator", "none", "--json"]
    loop = subprocess.Popen(words, cwd=workspace, env=clean_environment(), stdout=subprocess.DEVNULL)
    await_(lambda: len(metrics(workspace, "exp_0001")) >= 5)
    for pid in [loop.pid, *(processes_of(workspace, "exp_0001") if word == "KILL" else [])]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, getattr(signal, f"SIG{word}"))
    loop.wait(timeout=30)
    done = evo_here("loop --json", cwd=workspace).data
    assert (done["status"], [pick["outcome"] for pick in done["picks"]]) == ("completed", ["scored"])
    assert [row["step"] for row in metrics(workspace, "exp_0001")] == list(range(1, 11)), "a step is missing or twice"
    assert metrics(workspace, "exp_0001")[-1]["started_at"] >= 4
    attempts = evo_here("show exp_0001 --json", cwd=workspace).data["attempts"]
    assert [one["outcome"] for one in attempts] == ["ok"]
