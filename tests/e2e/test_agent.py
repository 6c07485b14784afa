"""A scripted agent that knows only `evo brief`, `evo next` and `--json` reaches a committed node."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from agent import Agent
from workspaces import SCORE, evo, make_command_workspace

COSTS = SCORE.replace('"score": float(luck < skill)', '"score": (1 - skill) * 10 * luck')
"""Graded, and less is better: what each item costs, in an open range."""


def own_recipe(workspace: Path, name: str, params: str) -> None:
    folder = workspace / "recipes" / name
    folder.mkdir(parents=True)
    (folder / "recipe.yaml").write_text(f"name: {name}\ntechnique: {name}\ninit_from: parent\nparams:\n{params}")
    (folder / "train.py").write_text(
        "import os, pathlib, evo.recipe\n"
        "run = evo.recipe.current()\n"
        "pathlib.Path(run.output_dir, 'skill.txt').write_text(str(run.params['skill']))\n"
        "run.finish(run.output_dir)\n"
    )


def commit(workspace: Path) -> None:
    subprocess.run(["git", "add", "recipes"], cwd=workspace, check=True)
    subprocess.run(["git", "commit", "-qm", "recipes"], cwd=workspace, check=True)


def command(skill: str) -> str:
    return f"""  argv: {{type: str, default: "sh -c 'echo {skill} > $EVO_CHECKPOINT_DIR/skill.txt'"}}\n"""


def test_a_recipe_of_the_workspace_is_found_and_run(tmp_path: Path) -> None:
    """Binary items, more is better; `next` names the workspace's own recipe."""
    workspace = make_command_workspace(tmp_path / "binary", n=150)
    own_recipe(workspace, "better", command("0.85"))
    commit(workspace)
    agent = Agent(workspace)
    assert agent.drive() == "exp_0001"
    assert agent.done == [
        "evo run exp_0000",
        "evo new --parent exp_0000 --recipe better -m 'better as it is, from exp_0000'",
        "evo run --next",
    ]


def test_a_failing_recipe_is_looked_at_and_given_up_on_the_way(tmp_path: Path) -> None:
    """Graded items, less is better; the first recipe fails, and the next one is taken."""
    workspace = make_command_workspace(
        tmp_path / "costs", "metric.direction=min", "metric.range=none", "max-attempts=1", n=150, score=COSTS
    )
    own_recipe(workspace, "a-broken", "  argv: {type: str, default: \"sh -c 'echo no such file >&2; exit 3'\"}\n")
    own_recipe(workspace, "b-better", command("0.9"))
    commit(workspace)
    agent = Agent(workspace)
    assert agent.drive(), agent.done
    assert any(step.startswith("evo new --parent exp_0000 --recipe a-broken") for step in agent.done)
    failed = evo("show", "exp_0001", cwd=workspace).data
    assert failed["attempts"][0]["outcome"] == "failed"


@pytest.mark.slow
def test_a_parameter_is_moved_until_it_helps(tmp_path: Path) -> None:
    """A page with parameters (tried on ten rows first): as it is it changes little, at the double it is committed."""
    workspace = make_command_workspace(tmp_path / "moved", n=200)
    own_recipe(workspace, "page", "  skill: {type: float, default: 0.42, min: 0, max: 1, doc: how good}\n")
    commit(workspace)
    agent = Agent(workspace)
    reached = agent.drive()
    assert reached, agent.done
    assert evo("show", reached, cwd=workspace).data["recipe"]["params"]["skill"] == 0.84
    assert any("--set skill=0.84" in step for step in agent.done)


def test_what_the_person_says_comes_first_and_is_acknowledged(tmp_path: Path) -> None:
    """A direction is the first step of `next` until it is acknowledged."""
    workspace = make_command_workspace(tmp_path / "told", n=60)
    evo("direct", "look at the base first", cwd=workspace)
    agent = Agent(workspace)
    agent.drive(most=2)
    assert agent.done == ["evo ack 1", "evo run exp_0000"]
