"""Two failures of an existing flywheel tool, told from its own runs, and what evo makes of the same inputs.

It "promoted" an unchanged 50 % model to 75 % in eight iterations on 20 gold rows, and put gold rows into its training
data.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from mutants import Change, make_mutant
from workspaces import evo, evo_here, make_command_workspace, new

ROWS, ITERATIONS, LUCK = 20, 8, 88
NOISY = f"""\
import argparse, hashlib, json, pathlib

parser = argparse.ArgumentParser()
for name in ("--model", "--items", "--out"):
    parser.add_argument(name)
args = parser.parse_args()
place = pathlib.Path(args.model)
time = int(place.parts[-3][-4:]) if place.parts[-3].startswith("exp_") else 0
with open(args.out, "w") as out:
    for line in open(args.items):
        item = json.loads(line)["id"]
        luck = int(hashlib.sha256(f"{LUCK} {{time}} {{item}}".encode()).hexdigest()[:8], 16) / 2**32
        out.write(json.dumps({{"id": item, "score": float(luck < 0.5)}}) + "\\n")
"""


def accuracy(time: int) -> float:
    """What one look at all gold rows says of a model that is right half of the time."""
    luck = [hashlib.sha256(f"{LUCK} {time} q{i}".encode()).hexdigest()[:8] for i in range(ROWS)]
    return sum(int(value, 16) / 2**32 < 0.5 for value in luck) / ROWS


def flywheel() -> list[float]:
    """Its rule: evaluate, and promote whenever the number is higher than the best so far."""
    promoted = [accuracy(0)]
    for time in range(1, ITERATIONS + 1):
        if accuracy(time) > promoted[-1]:
            promoted.append(accuracy(time))
    return promoted


@pytest.mark.parametrize("mode", ["certify", pytest.param("every-run", marks=pytest.mark.slow)])
def test_an_unchanged_model_is_not_promoted_by_eight_looks_at_twenty_rows(tmp_path: Path, mode: str) -> None:
    """C9: promoted on improvement, and on nothing else. Every second one is a copy to the byte, the others differ."""
    assert flywheel() == [0.5, 0.75]
    workspace = make_command_workspace(tmp_path / "ws", f"gate.mode={mode}", n=ROWS, score=NOISY)
    parent, seen = "exp_0000", []
    for time in range(1, ITERATIONS + 1):
        copy = 'cp "$EVO_SEED_ARTIFACT"/* "$EVO_CHECKPOINT_DIR/"'
        fresh = f'echo iteration {time} > "$EVO_CHECKPOINT_DIR/weights.txt"'
        line = f"argv=sh -c '{copy if time % 2 == 0 else fresh}'"
        node = new(workspace, line, f"iteration {time} of the flywheel", "--parent", parent, "--seed", str(time))
        ran = evo_here(f"run {node} --json", cwd=workspace)
        assert (ran.code, ran.data["state"]) == (0, "open"), ran.out
        assert ran.data["noop"] == (time % 2 == 0)
        seen.append(ran.data["score"]["mean"])
        parent = node
    assert max(seen) - min(seen) >= 0.2  # luck enough to be promoted by
    status = evo_here("status --json", cwd=workspace).data
    assert (status["committed"], status["states"]["committed"]) == ("exp_0000", 1)
    assert status["looks"]["used"] == (4 if mode == "every-run" else 0)
    if status["best"] != "exp_0000":
        assert status["corrected"] < status["best_score"]["mean"]


def gold_rows(workspace: Path, split: str) -> list[dict[str, str]]:
    place = workspace / ("data/dev.jsonl" if split == "dev" else f".evo/sealed/{split}.jsonl")
    rows = [json.loads(line) for line in place.read_text().splitlines()]
    return [row for row in rows if row["id"].startswith("q")]


def augmented(workspace: Path, rows: list[dict[str, str]], name: str) -> str:
    """Its `augment`: gold rows among the training data of a recipe. The experiment."""
    harmless = [{"prompt": f"which number comes after {n * 7919}", "target": str(n * 7919 + 1)} for n in range(30)]
    (workspace / "data" / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in [*harmless, *rows]))
    recipe = workspace / "recipes" / name
    recipe.mkdir(parents=True)
    (recipe / "recipe.yaml").write_text(
        f"name: {name}\ntechnique: sft\ndata:\n  train:\n    - source: data/{name}.jsonl\n"
        "params:\n  argv: {type: str, default: \"sh -c 'echo 0.9 > $EVO_CHECKPOINT_DIR/skill.txt'\"}\n"
    )
    made = evo("new", "--recipe", name, "--parent", "exp_0000", "-m", f"rows of {name} are added", cwd=workspace)
    found: str = made.data["id"]
    return found


def test_gold_rows_do_not_get_into_training(tmp_path: Path) -> None:
    """C10: gold never in canonical, enforced: before any compute and without an attempt. Unguarded, it trains."""
    workspace = make_command_workspace(tmp_path / "ws", n=90)
    assert evo("run", "exp_0000", cwd=workspace).code == 0
    for split in ("dev", "heldout"):
        rows = gold_rows(workspace, split)[:3]
        reworded = [{"prompt": row["prompt"].upper().replace(" ", "  "), "target": "?"} for row in rows]
        for name, added in ((f"copied-{split}", rows), (f"reworded-{split}", reworded)):
            node = augmented(workspace, added, name)
            ran = evo_here(f"run {node} --json", cwd=workspace)
            assert (ran.code, ran.error["code"]) == (5, "no"), ran.out
            shown = evo_here(f"show {node} --json", cwd=workspace).data
            assert (shown["state"], shown["attempts"]) == ("contaminated", [])
    clean = augmented(workspace, [], "clean")
    assert evo_here(f"run {clean} --json", cwd=workspace).code == 0

    unguarded = make_mutant(
        tmp_path / "mutant",
        Change(
            "ops/runs/run.py",
            "        leaks.refuse_leaks(session, experiment, content.recipe, content.data)\n",
            "        pass\n",
        ),
    )
    node = augmented(workspace, gold_rows(workspace, "heldout")[:3], "unguarded")
    trained = unguarded.evo("run", node, cwd=workspace)
    assert (trained.code, len(trained.data["attempts"])) == (0, 1)
