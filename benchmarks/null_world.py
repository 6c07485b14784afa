"""Does the product commit where nothing helps? Whole searches through the real command line in a world without gain.

    python benchmarks/null_world.py [--seeds 20] [--experiments 40] [--gold 400] [--mode certify] [--work DIR]

Each search is a workspace of its own. Every experiment is a `command` recipe whose output answers items as well as
the base does: an item comes out right with probability .4, and of two models about a fifth of the items differ. Their
true quality is equal, so every commit is false. `evo init`, `evo new` (the policy picks the parent), `evo run` and
`evo status` are called through the door that a process of its own enters by, two searches at a time. A search that is
done is not done again: its line lies in DIR.

Passed: P(any commit) is at most .05 plus two standard errors.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import math
import os
import shutil
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from evo.cli import app

LEVEL = 0.05
OWN = 0.236
"""Share of the items whose answer is the model's own affair; the rest every model answers alike."""
SCORE = f"""\
import argparse, hashlib, json, pathlib

def draw(*words):
    return int(hashlib.sha256(" ".join(words).encode()).hexdigest()[:12], 16) / 16**12

parser = argparse.ArgumentParser()
for name in ("--model", "--items", "--out"):
    parser.add_argument(name)
args = parser.parse_args()
file = pathlib.Path(args.model) / "weights.txt"
weights = file.read_text() if file.exists() else "base"
with open(args.out, "w") as out:
    for line in open(args.items):
        item = json.loads(line)["id"]
        who = weights if draw("whose", weights, item) < {OWN} else "anybody"
        out.write(json.dumps({{"id": item, "score": float(draw("right", who, item) < 0.4)}}) + "\\n")
"""


@dataclass(frozen=True)
class World:
    seed: int
    experiments: int
    gold: int
    mode: str
    work: Path

    @property
    def folder(self) -> Path:
        return self.work / f"{self.mode}-{self.gold}-{self.experiments}-{self.seed}"


@dataclass(frozen=True)
class Search:
    """What one search came to; gains are those of the best node on dev."""

    seed: int
    runs: int
    commits: int
    looks: int
    best: str
    gain: float
    corrected: float | None
    seconds: float


def evo(words: list[str], folder: Path) -> dict[str, Any]:
    """The data that one command answers with. RuntimeError says what it said instead."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = app.run([*words, "--json"])
    document = json.loads(out.getvalue())
    if code != 0:
        raise RuntimeError(f"evo {' '.join(words)}: exit {code}: {document.get('error')} {err.getvalue()[-500:]}")
    found: dict[str, Any] = document["data"]
    return found


def lay_out(world: World) -> Path:
    """A fresh workspace with its own gold items."""
    shutil.rmtree(world.folder, ignore_errors=True)
    world.folder.mkdir(parents=True)
    rows = [
        {"id": f"w{world.seed}-{i}", "prompt": f"world {world.seed}, {i}", "target": "x"} for i in range(world.gold)
    ]
    gold = world.folder / "gold.jsonl"
    gold.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (world.folder / "score.py").write_text(SCORE)
    words = ["init", "ws", "--template", "command", "--gold", str(gold)]
    words += ["--eval-command", "python score.py", "--eval-files", "score.py", "--set", f"gate.mode={world.mode}"]
    evo([*words, "--set", "track=none"], world.folder)
    return world.folder / "ws"


def search(world: World) -> Search:
    began = time.monotonic()
    workspace = lay_out(world)
    base = evo(["run", "exp_0000"], workspace)["score"]["mean"]
    for k in range(1, world.experiments + 1):
        argv = f"""argv=sh -c 'printf %s {world.seed}-{k} > "$EVO_CHECKPOINT_DIR/weights.txt"'"""
        made = evo(["new", "--recipe", "command", "--set", argv, "-m", f"change {k} of world {world.seed}"], workspace)
        evo(["run", made["id"]], workspace)
    status = evo(["status"], workspace)
    corrected = status.get("corrected")
    return Search(
        seed=world.seed,
        runs=world.experiments,
        commits=status["states"]["committed"] - 1,
        looks=status["looks"]["used"],
        best=status["best"],
        gain=status["best_score"]["mean"] - base,
        corrected=None if corrected is None else corrected - base,
        seconds=round(time.monotonic() - began, 1),
    )


def worker(world: World) -> Search:
    for name in [name for name in os.environ if name.startswith("EVO_")]:
        del os.environ[name]
    found = search(world)
    shutil.rmtree(world.folder)
    return found


def line(found: Search) -> str:
    corrected = "" if found.corrected is None else f"  corrected {found.corrected:+.3f}"
    return (
        f"seed {found.seed:>3}  {found.runs} runs  {found.commits} commits  {found.looks} looks"
        f"  best dev gain {found.gain:+.3f}{corrected}  {found.seconds:.0f} s"
    )


def bound(searches: int) -> float:
    return LEVEL + 2.0 * math.sqrt(LEVEL * (1.0 - LEVEL) / searches)


def summary(done: list[Search]) -> str:
    n, false = len(done), sum(found.commits > 0 for found in done)
    mean = lambda values: sum(values) / n  # noqa: E731
    known = [found.corrected for found in done if found.corrected is not None]
    text = f"{n} searches: P(any commit) {false / n:.3f} ({false} of {n}; at most {bound(n):.3f})"
    text += f", {mean([found.looks for found in done]):.1f} looks a search"
    text += f", best dev gain {mean([found.gain for found in done]):+.3f}"
    return text + (f", corrected {sum(known) / len(known):+.3f}" if known else "") + ", true gain 0"


def known_lines(path: Path) -> dict[int, Search]:
    if not path.is_file():
        return {}
    return {found.seed: found for text in path.read_text().splitlines() if (found := Search(**json.loads(text)))}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--experiments", type=int, default=40)
    parser.add_argument("--gold", type=int, default=400)
    parser.add_argument("--mode", default="certify", choices=("certify", "every-run", "strict"))
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--work", type=Path, default=Path("null-world"))
    args = parser.parse_args(argv)
    work = args.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    path = work / f"{args.mode}-{args.gold}-{args.experiments}.jsonl"
    done = known_lines(path)
    worlds = [
        World(seed, args.experiments, args.gold, args.mode, work) for seed in range(args.seeds) if seed not in done
    ]
    with ProcessPoolExecutor(args.processes, max_tasks_per_child=1) as pool:
        for future in as_completed([pool.submit(worker, world) for world in worlds]):
            found = future.result()
            done[found.seed] = found
            with path.open("a") as file:
                file.write(json.dumps(asdict(found)) + "\n")
            print(line(found), flush=True)
    chosen = [done[seed] for seed in range(args.seeds)]
    print(summary(chosen))
    return 0 if sum(found.commits > 0 for found in chosen) <= bound(args.seeds) * args.seeds else 1


if __name__ == "__main__":
    sys.exit(main())
