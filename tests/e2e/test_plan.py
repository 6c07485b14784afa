"""What evo says of an experiment before it costs anything, through the command line."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from workspaces import SCORE, clean_environment, evo, evo_here, make_command_workspace, skilled


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = make_command_workspace(tmp_path_factory.mktemp("plan") / "ws", n=90)
    assert evo_here("run exp_0000 --json", cwd=root).code == 0
    return root


def made(
    workspace: Path, hypothesis: str, setting: str = skilled(0.4), recipe: str = "command"
) -> tuple[str, list[str]]:
    """Id and warnings of a new experiment."""
    answer = evo("new", "--recipe", recipe, "--parent", "exp_0000", "--set", setting, "-m", hypothesis, cwd=workspace)
    assert answer.code == 0, answer.out
    return answer.data["id"], answer.document["warnings"]


def planned(workspace: Path, experiment: str) -> dict[str, Any]:
    """Kind -> finding of the plan."""
    found = evo_here(f"show {experiment} --json", cwd=workspace).data["findings"]
    return {each["kind"]: each for each in found if each["source"] == "plan"}


def test_empty_words_and_words_said_before_are_findings_and_stop_nothing(workspace: Path) -> None:
    """A35: a generic hypothesis; one that is equal to an earlier one."""
    good, quiet = made(workspace, "a skill of .41 adds one point", skilled(0.41))
    assert (quiet, planned(workspace, good)) == ([], {})
    empty, warned = made(workspace, "try better params", skilled(0.42))
    assert "could turn out wrong" in warned[0]
    assert planned(workspace, empty)["generic_hypothesis"]["severity"] == "warn"
    twin, _ = made(workspace, "a skill of .41 adds one point", skilled(0.43))
    assert planned(workspace, twin)["same_hypothesis"]["evidence"] == {"twin": good}
    assert planned(workspace, good) == {}  # who came first says nothing twice
    ran = evo_here(f"run {empty} --json", cwd=workspace)
    assert (ran.code, ran.data["score"] is not None) == (0, True)


def test_more_gpus_than_there_are(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A35: a resource conflict, told before anything is queued."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    recipe = workspace / "recipes" / "wide"
    recipe.mkdir(parents=True)
    (recipe / "recipe.yaml").write_text(
        "name: wide\ntechnique: command\nparams:\n  argv: {type: str, default: 'true'}\nresources: {gpus: 4}\n"
    )
    node, warned = made(workspace, "four devices are four times as fast", recipe=str(recipe))
    assert warned == ["the recipe asks for 4 GPUs, and 1 can be seen here"]
    assert planned(workspace, node)["gpus"]["evidence"] == {"wanted": 4, "visible": 1}


def test_a_run_that_has_to_wait_says_for_whom(workspace: Path) -> None:
    """A35: two at work where there is one slot."""
    slow, _ = made(
        workspace, "a run that takes a while", "argv=sh -c 'sleep 2; echo .4 > \"$EVO_CHECKPOINT_DIR/skill.txt\"'"
    )
    line = [sys.executable, "-m", "evo", "run", slow, "--json"]
    busy = subprocess.Popen(line, cwd=workspace, env=clean_environment(), stdout=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 20
        while not evo_here("status --json", cwd=workspace).data["running"]:
            assert time.monotonic() < end
            time.sleep(0.05)
        second, _ = made(workspace, "a run that comes second", skilled(0.44))
        ran = evo_here(f"run {second} --json", cwd=workspace)
        assert ran.code == 0
        assert any(f"waits for its turn: {slow} at work" in warning for warning in ran.document["warnings"])
    finally:
        busy.wait(timeout=60)


def test_an_evaluation_of_a_part_of_the_items_is_warned_of_and_refused(tmp_path: Path) -> None:
    """A35, D10: `--limit` in the evaluation command; what it leaves out fails the attempt, naming the item."""
    score = SCORE.replace('("--model", "--items", "--out")', '("--model", "--items", "--out", "--limit")').replace(
        "open(args.items)", "list(open(args.items))[: int(args.limit or 10**6)]"
    )
    workspace = make_command_workspace(tmp_path / "ws", n=90, score=score)
    assert evo("run", "exp_0000", cwd=workspace).code == 0
    assert evo("config", "set", "eval.command", "python score.py --limit 8", cwd=workspace).code == 0
    node, warned = made(workspace, "eight items are enough to see it", skilled(0.5))
    assert "eval.command has --limit 8" in warned[0]
    assert planned(workspace, node)["subset"]["severity"] == "warn"
    ran = evo("run", node, cwd=workspace)
    assert ran.code == 6
    assert "no line for" in ran.document["error"]["message"]
