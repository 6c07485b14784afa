"""How `evo run` starts a page: in several processes where its recipe asks for them, not where it places its model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from workspaces import evo, make_command_workspace

PAGE = """\
import os
from evo import recipe

run = recipe.current()
(run.folder / f"rank{os.environ.get('RANK')}").write_text(os.environ.get("WORLD_SIZE", ""))
run.log(step=1, loss=0.5)
if run.is_main:
    (run.output_dir / "skill.txt").write_text("0.8")
run.finish(run.output_dir)
"""


def recipe(root: Path, page: str, more: str = "") -> str:
    """The id of an experiment whose recipe is `page`."""
    own = root / "recipes" / "own"
    own.mkdir(parents=True)
    (own / "recipe.yaml").write_text("name: own\ntechnique: sft\n" + more)
    (own / "train.py").write_text(page)
    identifier: str = evo("new", "--recipe", "own", "-m", "tries", "--parent", "exp_0000", cwd=root).data["id"]
    return identifier


@pytest.mark.slow
@pytest.mark.parametrize("launch", ["torchrun", "accelerate"])
def test_a_recipe_is_launched_in_as_many_processes_as_it_asks_for(tmp_path: Path, launch: str) -> None:
    """Every rank reads the job; one of them writes."""
    pytest.importorskip(launch.replace("torchrun", "torch"))
    root = make_command_workspace(tmp_path / "ws", n=150)
    made = recipe(root, PAGE, f"launch: {launch}\nresources: {{processes: 2}}\n")
    assert evo("run", made, cwd=root).code == 0
    attempt = root / ".evo/attempts" / made / "1"
    assert {path.name: path.read_text() for path in attempt.glob("rank*")} == {"rank0": "2", "rank1": "2"}
    assert [json.loads(line)["step"] for line in (attempt / "metrics.jsonl").read_text().splitlines()] == [1]


def test_a_page_that_places_its_model_is_refused_before_it_costs_an_attempt(tmp_path: Path) -> None:
    """A31: the lint stands before the run, too."""
    root = make_command_workspace(tmp_path / "ws", n=150)
    made = recipe(root, PAGE + "\nif False:\n    load(device_map='auto')\n")
    answer = evo("run", made, cwd=root)
    assert answer.code == 4
    assert "train.py, line 12: device_map='auto' spreads the model" in answer.error["message"]
    assert not (root / ".evo/attempts" / made).exists()
    page = root / ".evo/worktrees" / made / "recipe" / "train.py"
    page.write_text(PAGE)
    assert evo("run", made, cwd=root).code == 0
    assert [attempt["n"] for attempt in evo("show", made, cwd=root).data["attempts"]] == [1]
