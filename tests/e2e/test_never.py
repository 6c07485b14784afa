"""What must never happen (DESIGN.md §12), line by line, and the tests that hold it: here, and in the files named.

- NaN, inf, bool or string recorded as a score:
    test_no_score_but_a_number; test_evaluate_command, test_store_record
- a tie or a no-op committed:
    test_a_tie_is_never_committed; test_cheats
- a hand-typed score:
    test_no_command_takes_a_score; test_store_record
- a discarded node restored as committed:
    test_a_restore_never_commits; test_store_experiments
- an experiment editing its own scorer:
    test_cheats; test_workspace_pin
- the cap not binding crashes:
    test_the_cap_binds_crash_timeout_and_kill
- two simultaneous runs of one node both starting:
    test_crowd; test_store_attempts
- a timeout or kill that leaves the child training:
    test_a_timeout_leaves_nothing_running; test_kills
- a finished score lost to a lock or a failing hook:
    test_no_lock_and_no_hook_costs_a_score
- a truncated state file without its name, a missing one read as an empty tree:
    test_a_broken_database_is_named
- a cyclic or 1,100-deep tree hanging a command:
    test_a_deep_tree_hangs_nothing; cyclic: test_store_nodes
- text before the JSON on stdout:
    test_nothing_stands_before_the_json
- a read command that writes:
    test_reading_writes_nothing
- paths outside the workspace read through an id:
    test_bad_input
- old-epoch scores compared with new ones:
    test_epochs_are_never_compared
- held-out items inside training data, unnoticed:
    test_held_out_items_in_training_data_cost_nothing
- a null recipe promoted by luck:
    test_no_null_recipe_is_promoted_by_luck
- `.env` committed:
    test_secrets_never_enter_git; test_workspace_commits
- YAML comments lost, `5e-5` read as a string:
    test_rows (A14); test_workspace_yaml
- an unknown option in the README:
    test_docs
- a failed evaluator replaced by a made-up number; an evaluation out of memory costing the training:
    test_a_failed_evaluation_is_owed_and_costs_no_training
- a pip upgrade renewing the looks:
    test_an_upgrade_renews_no_looks
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import typer.main
from workspaces import SCORE, clean_environment, evo, make_command_workspace, new, skilled

from evo.cli.commands import COMMANDS
from evo.config import config_keys

LINE_3 = """
import pathlib, sys
lines = pathlib.Path(sys.argv[6]).read_text().splitlines()
row = json.loads(lines[2])
lines[2] = json.dumps({"id": row["id"]})[:-1] + ', "score": %s}'
pathlib.Path(sys.argv[6]).write_text("\\n".join(lines) + "\\n")
"""


def test_the_list_names_tests_that_exist() -> None:
    here = Path(__file__).resolve()
    listed = set(re.findall(r"test_\w+", __doc__ or ""))
    files = {path.stem for path in here.parents[1].glob("*/test_*.py")}
    pages = [here, here.with_name("test_never_disk.py")]
    tests = {name for page in pages for name in re.findall(r"(?m)^def (test_\w+)", page.read_text())}
    assert listed <= files | tests, listed - files - tests
    assert tests - listed == {"test_the_list_names_tests_that_exist"}


@pytest.fixture(scope="module")
def unscored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_command_workspace(tmp_path_factory.mktemp("unscored") / "ws", n=150)


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "true", '"0.5"', "null", "1.5"])
def test_no_score_but_a_number(unscored: Path, value: str) -> None:
    """§12: NaN, inf, bool or string recorded as a score. The message names the line."""
    (unscored / "score.py").write_text(SCORE + LINE_3 % value)
    ran = evo("run", "exp_0000", cwd=unscored)
    assert ran.code == 6, ran.out
    assert "line 3" in ran.document["error"]["message"]
    assert ran.document["data"]["score"] is None
    assert ran.document["data"]["attempts"][-1]["outcome"] == "failed"


def test_a_tie_is_never_committed(tmp_path: Path) -> None:
    """§12: a tie committed. Other weights, the same answers."""
    workspace = make_command_workspace(tmp_path / "ws", n=150)
    twin = new(workspace, skilled("0.40"), "as good as the base", "--parent", "exp_0000")
    ran = evo("run", twin, cwd=workspace).data
    assert (ran["noop"], ran["delta"]["mean"], ran["state"]) == (False, 0.0, "open")
    assert evo("certify", twin, cwd=workspace).code == 5
    assert evo("certify", twin, cwd=workspace).code == 4  # the same question is not put twice
    assert evo("show", twin, cwd=workspace).data["state"] == "open"


def test_no_command_takes_a_score() -> None:
    """§12: a hand-typed score. No option, argument or setting of any command is one.

    `evo gate power --gain` asks how many items a gain would need, and writes nothing.
    """
    words = {"score", "mean", "result", "results", "passed", "p", "gain", "accuracy"}
    for command in COMMANDS:
        leaf = typer.main.get_command(import_module(f"evo.cli.{command.module}").app)
        for each in (leaf, *getattr(leaf, "commands", {}).values()):
            named = {name.strip("-") for option in each.params for name in (*option.opts, option.name)}
            asked = {"gain"} if (command.name, each.name) == ("gate", "power") else set()
            assert (named - asked).isdisjoint(words), (command.name, named & words)
    assert {key.rpartition(".")[2] for key in config_keys()}.isdisjoint(words)


def test_the_cap_binds_crash_timeout_and_kill(tmp_path: Path) -> None:
    """§12: the cap not binding crashes. Three attempts, each ending otherwise; the fourth is refused."""
    workspace = make_command_workspace(tmp_path / "ws", "run.grace-s=0.1", n=150)
    made = evo("new", "--recipe", "command", "--set", "argv=sh train.sh", "-m", "x", cwd=workspace).data
    endings = {"exit 1": ("failed", 6, "1h"), "sleep 30": ("timed_out", 7, "300ms"), "kill -9 $$": ("killed", 6, "1h")}
    for n, (line, (outcome, code, limit)) in enumerate(endings.items(), start=1):
        (Path(made["worktree"]) / "train.sh").write_text(line + "\n")
        ran = evo("run", made["id"], "--timeout", limit, cwd=workspace)
        last = ran.document["data"]["attempts"][-1]
        assert (ran.code, last["n"], last["outcome"]) == (code, n, outcome), ran.out
    (Path(made["worktree"]) / "train.sh").write_text("echo 0.9 > $EVO_CHECKPOINT_DIR/skill.txt\n")
    refused = evo("run", made["id"], cwd=workspace)
    assert refused.code == 4
    assert "evo discard" in refused.error["hint"]


def test_epochs_are_never_compared(tmp_path: Path) -> None:
    """§12: old-epoch scores compared with new ones. A new scorer that turns every result around."""
    workspace = make_command_workspace(tmp_path / "ws", "gate.mode=none", n=150)
    old = new(workspace, skilled(0.9), "best of its day", "--parent", "exp_0000")
    assert evo("run", old, cwd=workspace).code == 0
    (workspace / "score.py").write_text(SCORE.replace("luck < skill", "luck >= skill"))
    young = new(workspace, skilled(0.2), "best of this day", "--parent", "exp_0000")
    ran = evo("run", young, cwd=workspace)
    assert any("new epoch" in warning for warning in ran.document["warnings"])
    assert ran.data["epoch"] == evo("show", "exp_0000", cwd=workspace).data["epoch"]
    shown = evo("show", old, cwd=workspace).data
    assert shown["epoch"] != ran.data["epoch"]
    assert (shown["delta"], shown["shrunken"], shown["evidence"]) == (None, None, None)
    assert evo("status", cwd=workspace).data["best"] == young
    assert old not in [pick["id"] for pick in evo("frontier", "-k", "9", cwd=workspace).data["picks"]][:1]
    assert evo("compare", old, young, cwd=workspace).code == 4
    assert evo("certify", old, cwd=workspace).code == 4


def test_held_out_items_in_training_data_cost_nothing(tmp_path: Path) -> None:
    """§12: held-out items inside training data, unnoticed. Exit 5, contaminated, no attempt, no line of it quoted."""
    workspace = make_command_workspace(tmp_path / "ws", n=150)
    sealed = [json.loads(line) for line in (workspace / ".evo/sealed/heldout.jsonl").read_text().splitlines()]
    leaked = next(row for row in sealed if not row["id"].startswith("canary"))
    rows = [{"prompt": f"harmless {n}", "target": "x"} for n in range(5)]
    rows.insert(3, {"prompt": leaked["prompt"].upper() + "  ", "target": "other"})
    train = workspace / "data" / "train.jsonl"
    train.write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = workspace / "recipes" / "leaky"
    recipe.mkdir(parents=True)
    (recipe / "recipe.yaml").write_text(
        "name: leaky\ntechnique: sft\ndata:\n  train:\n    - source: data/train.jsonl\n"
        "params:\n  argv: {type: str, default: \"sh -c 'echo 0.9 > $EVO_CHECKPOINT_DIR/skill.txt'\"}\n"
    )
    leaky = evo("new", "--recipe", "leaky", "-m", "x", "--parent", "exp_0000", cwd=workspace).data["id"]
    ran = evo("run", leaky, cwd=workspace)
    assert ran.code == 5, ran.out
    assert "data/train.jsonl, line 4" in ran.error["message"]
    assert leaked["prompt"] not in ran.out + ran.err
    shown = evo("show", leaky, cwd=workspace).data
    assert (shown["state"], shown["attempts"], shown["score"]) == ("contaminated", [], None)
    assert evo("data", "check", "data/train.jsonl", cwd=workspace).code == 5
    assert evo("run", leaky, cwd=workspace).code == 5


def test_no_null_recipe_is_promoted_by_luck(tmp_path: Path) -> None:
    """§12: a null recipe promoted by luck. The five luckiest on dev of 26 recipes that are as good as the base."""
    lucky = SCORE.replace('item["id"].encode()', '(item["id"] + nonce).encode()').replace(
        "skill = float(file.read_text())", "skill, nonce = 0.4, file.read_text()"
    )
    lucky = lucky.replace("if file.exists() else 0.4", 'if file.exists() else (0.4, "")').replace(
        "skill, nonce = 0.4, file.read_text()", "skill, nonce = (0.4, file.read_text())"
    )
    workspace = make_command_workspace(tmp_path / "ws", n=150, score=lucky)
    axis = "argv=" + ",".join(f'sh -c "echo {name} > $EVO_CHECKPOINT_DIR/skill.txt"' for name in "gijqu")
    made = evo("new", "--recipe", "command", "--grid", axis, "-m", "null", "--parent", "exp_0000", cwd=workspace)
    ran = [evo("run", each["id"], cwd=workspace).data for each in made.data["experiments"]]
    assert max(one["delta"]["mean"] for one in ran) > 0.15  # luck there was
    assert evo("status", cwd=workspace).data["committed"] == "exp_0000"


HOW_IT_FAILS = {
    "an exit code": "sys.exit(1)",
    "out of memory": "os.kill(os.getpid(), 9)",
    "its evaluator is killed": "os.kill(os.getppid(), 9)",
}


@pytest.fixture(scope="module")
def fragile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace whose scorer does what the file `trouble` beside it says."""
    folder = tmp_path_factory.mktemp("fragile")
    trouble = f"import os, pathlib, sys\nif (file := pathlib.Path({str(folder / 'trouble')!r})).exists():\n"
    root = make_command_workspace(folder / "ws", n=150, score=trouble + "    exec(file.read_text())\n" + SCORE)
    assert evo("run", "exp_0000", cwd=root).code == 0
    return root


@pytest.mark.parametrize("way", HOW_IT_FAILS)
def test_a_failed_evaluation_is_owed_and_costs_no_training(fragile: Path, way: str) -> None:
    """§12: a failed evaluator replaced by a made-up number; an evaluation out of memory costing the training."""
    count = fragile.parent / "shared" / f"trained {way}"
    train = f"""argv=sh -c 'echo x >> "{count}"; echo 0.5 > $EVO_CHECKPOINT_DIR/skill.txt'"""
    experiment = new(fragile, train, way, "--parent", "exp_0000")
    trouble = fragile.parent / "trouble"
    trouble.write_text(HOW_IT_FAILS[way])
    ran = evo("run", experiment, cwd=fragile)
    assert ran.code == 6, ran.out
    assert ran.document["data"]["score"] is None
    assert ran.document["data"]["attempts"][0]["state"] == "trained"
    assert evo("status", cwd=fragile).data["trained"] == [experiment]
    assert evo("sync", cwd=fragile).data["owed"] == [experiment]  # it was tried again, and failed again
    trouble.unlink()
    again = evo("run", experiment, cwd=fragile)
    assert again.code == 0, again.out
    assert [attempt["outcome"] for attempt in again.data["attempts"]] == ["ok"]
    assert count.read_text() == "x\n"


def test_an_upgrade_renews_no_looks(tmp_path: Path) -> None:
    """§12: a pip upgrade renewing the looks. Another engine is another epoch; the looks stay with the items."""
    workspace = make_command_workspace(tmp_path / "ws", n=150)
    twin = new(workspace, skilled("0.40"), "asked about", "--parent", "exp_0000")
    assert evo("run", twin, cwd=workspace).code == 0
    assert evo("certify", twin, cwd=workspace).code == 5
    used = evo("status", cwd=workspace).data["looks"]["used"]
    before = evo("show", twin, cwd=workspace).data["epoch"]
    upgraded = "import evo.evaluate.engine as e; e.engine_of = lambda backend: 'command 2.0'\n"
    upgraded += "from evo.cli.app import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", upgraded, "rescore", twin, "--json"],
        cwd=workspace, env=clean_environment(), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout)["data"]["epoch"] != before
    assert evo("status", cwd=workspace).data["looks"]["used"] == used == 1
