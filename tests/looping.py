"""A workspace whose recipe `cube` has three parameters and a known best: what a loop is tried on, 0.3 s a run."""

from __future__ import annotations

import json
from pathlib import Path

from workspaces import SCORE, make_command_workspace

RECIPE = """\
name: cube
technique: command
params:
  rate: {type: float, default: 1.0e-3, min: 1.0e-5, max: 1.0e-1}
  beta: {type: float, default: 0.2, min: 0, max: 1}
  warm: {type: float, default: 0.2, min: 0, max: 1}
"""
PAGE = """\
import math, pathlib, sys, time
import evo.recipe

run = evo.recipe.current()
p = run.params
time.sleep(PAUSE)
if FAILS:
    sys.exit("no memory left")
apart = (math.log10(p.rate) + 2) ** 2 / 4 + (p.beta - 0.7) ** 2 + (p.warm - 0.5) ** 2
out = pathlib.Path(run.output_dir)
out.mkdir(exist_ok=True, parents=True)
(out / "skill.txt").write_text(str(0.2 + 0.6 * math.exp(-2 * apart)))
run.finish(out)
"""


def make_loop_workspace(
    folder: Path,
    *settings: str,
    n: int = 200,
    pause: float = 0.0,
    fails: bool = False,
    page: str = PAGE,
    score: str = SCORE,
) -> Path:
    workspace = make_command_workspace(folder, *settings, n=n, score=score)
    write_recipe(workspace, "cube", page.replace("PAUSE", str(pause)).replace("FAILS", str(fails)))
    return workspace


def write_recipe(workspace: Path, name: str, page: str, recipe: str = RECIPE) -> None:
    home = workspace / "recipes" / name
    home.mkdir(parents=True, exist_ok=True)
    (home / "recipe.yaml").write_text(recipe.replace("name: cube", f"name: {name}"))
    (home / "train.py").write_text(page)


def journal(workspace: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (workspace / "experiments.jsonl").read_text().splitlines()]


def heartbeat(workspace: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((workspace / ".evo" / "loop" / "heartbeat.json").read_text())
    return found
