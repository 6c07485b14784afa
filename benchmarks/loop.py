"""Does `evo loop` beat random draws at equal compute? Whole loops through the real command line, truth known.

    python benchmarks/loop.py [--seeds 20] [--experiments 12] [--workers 2] [--processes 1] [--work DIR]
    python benchmarks/loop.py --model tiny [--seeds 3]

Each seed is a world of its own: a recipe of six parameters (rates on a log scale, a whole number, shares), another
optimum anywhere in the middle 80 % of the ranges, other interactions, one of five shapes of landscape (bowl, peak, one
narrow parameter, interactions, cliff), run noise, and 200 binary dev items of which each model answers a part its own
way. `evo loop` without key, network and knowledge base is held against `evo loop --policy iid --ideator none`, each
with the same number of experiments in a workspace of its own. What counts is the true quality: of the node that the
loop calls its best, against the best that is among the draws (an oracle's choice), and against the draw that the other
loop calls its best. `--model tiny`: the shipped addition model and two shipped recipes, where the true quality of both
is measured on 2,000 sums that no other part has seen.

Passed: the loop wins against the oracle's choice in 14 of 20 worlds (70 %), or in 2 of 3 on the tiny model.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import math
import os
import random
import shutil
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from evo.cli import app

SHARE = 14 / 20
KINDS = ("bowl", "peak", "narrow", "interactions", "cliff")
RANGES = {
    "rate": ("float", 1e-5, 1e-1, True),
    "decay": ("float", 1e-4, 1.0, True),
    "batch": ("int", 4, 512, True),
    "beta": ("float", 0.0, 1.0, False),
    "warmup": ("float", 0.0, 1.0, False),
    "drop": ("float", 0.0, 1.0, False),
}
"""Name -> type, lowest, highest, and whether it is walked in logarithms."""
RUN_NOISE = 0.01
OWN = 0.3
"""Share of the items whose answer is the model's own affair."""
SCORE = f"""\
import argparse, hashlib, json, pathlib

def draw(*words):
    return int(hashlib.sha256(" ".join(words).encode()).hexdigest()[:12], 16) / 16**12

parser = argparse.ArgumentParser()
for name in ("--model", "--items", "--out"):
    parser.add_argument(name)
args = parser.parse_args()
file = pathlib.Path(args.model) / "skill.json"
model = json.loads(file.read_text()) if file.exists() else {{"skill": 0.2, "name": "base"}}
with open(args.out, "w") as out:
    for line in open(args.items):
        item = json.loads(line)["id"]
        who = model["name"] if draw("whose", model["name"], item) < {OWN} else "anybody"
        out.write(json.dumps({{"id": item, "score": float(draw("right", who, item) < model["skill"])}}) + "\\n")
"""
TRAIN = """\
import json, pathlib, random
import evo.recipe
from world import quality

run = evo.recipe.current()
params = {name: getattr(run.params, name) for name in %s}
name = json.dumps(params) + str(run.seed)
skill = quality(params) + random.Random(name).gauss(0.0, %s)
out = pathlib.Path(run.output_dir)
out.mkdir(parents=True, exist_ok=True)
(out / "skill.json").write_text(json.dumps({"skill": skill, "name": name}))
run.finish(out)
"""


@dataclass(frozen=True)
class World:
    seed: int
    experiments: int
    workers: int
    work: Path
    model: str = ""

    @property
    def folder(self) -> Path:
        return self.work / f"{self.model or 'cube'}-{self.experiments}-{self.seed}"

    @property
    def kind(self) -> str:
        return KINDS[self.seed % len(KINDS)]


@dataclass(frozen=True)
class Match:
    """True qualities: of the loop's best, of the draws' best by their own choice, and of the best draw there is."""

    seed: int
    kind: str
    loop: float
    draws: float
    oracle: float
    experiments: list[int]
    seconds: float

    @property
    def is_won(self) -> bool:
        return self.loop > self.oracle


def landscape(world: World) -> dict[str, Any]:
    rng = random.Random(f"world {world.seed}")
    n = len(RANGES)
    ties = [rng.uniform(-1.0, 1.0) for _ in range(n - 1)]
    return {
        "kind": world.kind,
        "optimum": [rng.uniform(0.1, 0.9) for _ in range(n)],
        "weights": [rng.uniform(0.4, 1.6) for _ in range(n)],
        "ties": [1.6 * tie for tie in ties] if world.kind == "interactions" else [0.5 * tie for tie in ties],
        "narrow": rng.randrange(n),
        "cliff": [rng.choice((-1, 1)) for _ in range(n)],
    }


def quality(params: dict[str, float], world: dict[str, Any], ranges: dict[str, Any]) -> float:
    """True accuracy in [.05, .85], best at the optimum; also written into the recipe's folder, for its train.py."""
    cube = []
    for name, (_, low, high, is_log) in ranges.items():
        value = float(params[name])
        x = math.log(value / low) / math.log(high / low) if is_log else (value - low) / (high - low)
        cube.append(x)
    apart = [x - o for x, o in zip(cube, world["optimum"])]  # noqa: B905
    weights = list(world["weights"])
    if world["kind"] == "narrow":
        weights[world["narrow"]] *= 8.0
    bent = sum(tie * a * b for tie, a, b in zip(world["ties"], apart, apart[1:]))  # noqa: B905
    far = max(sum(w * d * d for w, d in zip(weights, apart)) + bent, 0.0)  # noqa: B905
    height = math.exp(-2.0 * far) if world["kind"] != "bowl" else max(0.0, 1.0 - far)
    if world["kind"] == "cliff" and world["cliff"][0] * apart[0] > 0.15:
        height *= 0.3
    return 0.05 + 0.8 * height


def world_module(world: World) -> str:
    """`quality` of this world as a file beside the recipe's train.py."""
    import inspect

    constants = f"WORLD = {landscape(world)!r}\nRANGES = {RANGES!r}\n"
    source = inspect.getsource(quality).replace(
        "def quality(params: dict[str, float], world: dict[str, Any],", "def f("
    )
    source = source.replace("f( ranges: dict[str, Any]) -> float:", "f(params, world, ranges):")
    call = "\n\ndef quality(params):\n    return f(params, WORLD, RANGES)\n"
    return f"import math\n\n{constants}\n\n{source}{call}"


def recipe_yaml() -> str:
    lines = ["name: cube", "technique: command", "params:"]
    for name, (type_, low, high, is_log) in RANGES.items():
        default = math.sqrt(low * high) * 3 if is_log else 0.3
        default = round(default) if type_ == "int" else float(f"{default:.3g}")
        lines.append(f"  {name}: {{type: {type_}, default: {default!r}, min: {low!r}, max: {high!r}}}")
    return "\n".join(lines) + "\n"


def evo(words: list[str], folder: Path) -> dict[str, Any]:
    """The data that one command answers with. RuntimeError says what it said instead."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = app.run([*words, "--json"])
    document = json.loads(out.getvalue())
    if code != 0:
        raise RuntimeError(f"evo {' '.join(words)}: exit {code}: {document.get('error')} {err.getvalue()[-800:]}")
    found: dict[str, Any] = document["data"]
    return found


def lay_out(world: World, name: str) -> Path:
    """A fresh workspace `name` of the world, with the recipe `cube`."""
    world.folder.mkdir(parents=True, exist_ok=True)
    rows = [{"id": f"w{world.seed}-{i}", "prompt": f"world {world.seed}, {i}", "target": "x"} for i in range(400)]
    gold = world.folder / "gold.jsonl"
    gold.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (world.folder / "score.py").write_text(SCORE)
    words = ["init", name, "--template", "command", "--gold", str(gold), "--eval-command", "python score.py"]
    evo([*words, "--eval-files", "score.py", "--set", "track=none"], world.folder)
    recipe = world.folder / name / "recipes" / "cube"
    recipe.mkdir(parents=True)
    (recipe / "recipe.yaml").write_text(recipe_yaml())
    (recipe / "train.py").write_text(TRAIN % (list(RANGES), RUN_NOISE))
    (recipe / "world.py").write_text(world_module(world))
    return world.folder / name


def looped(world: World, workspace: Path, *words: str) -> dict[str, Any]:
    asked = ["loop", "--experiments", str(world.experiments), "--workers", str(world.workers)]
    return evo([*asked, "--ideator", "none", "--seed", str(world.seed), *words], workspace)


def match(world: World) -> Match:
    began = time.monotonic()
    shutil.rmtree(world.folder, ignore_errors=True)
    if world.model == "tiny":
        found = tiny_match(world)
    else:
        facts = landscape(world)

        def truth(workspace: Path, name: str) -> float:
            params = evo(["show", name], workspace)["recipe"]["params"]
            return quality(params, facts, RANGES) if params else quality_of_base()

        ours, theirs = lay_out(world, "loop"), lay_out(world, "draws")
        first, second = looped(world, ours), looped(world, theirs, "--policy", "iid")
        drawn = [pick["experiment"] for pick in second["picks"] if pick["experiment"]]
        found = Match(
            seed=world.seed,
            kind=world.kind,
            loop=truth(ours, first["best"]),
            draws=truth(theirs, second["best"]),
            oracle=max(truth(theirs, name) for name in drawn),
            experiments=[first["experiments"], second["experiments"]],
            seconds=0.0,
        )
    return Match(**(asdict(found) | {"seconds": round(time.monotonic() - began, 1)}))


def quality_of_base() -> float:
    return 0.2


def tiny_match(world: World) -> Match:
    """The shipped model: accuracy on sums that are neither gold nor training rows, by the workspace's own scorer."""
    from evo import assets
    from evo.ops import demo

    def workspace_at(name: str) -> Path:
        folder = world.folder / name
        folder.parent.mkdir(parents=True, exist_ok=True)
        demo.lay_out(folder)
        for recipe in ("sft", "rft"):
            target = folder / "recipes" / recipe
            shutil.copytree(assets.folder("recipes") / recipe, target, dirs_exist_ok=True)
            demo.narrow(target / "recipe.yaml", TUNED, FIXED[recipe])
        return folder

    fresh = fresh_sums(world)

    def truth(workspace: Path, name: str) -> float:
        words = ["eval", name, "--suite", str(fresh), "--scratch"]
        return float(evo(words, workspace)["mean"])

    ours, theirs = workspace_at("loop"), workspace_at("draws")
    first, second = looped(world, ours), looped(world, theirs, "--policy", "iid")
    drawn = [pick["experiment"] for pick in second["picks"] if pick["outcome"] == "scored"]
    truths = {name: truth(theirs, name) for name in drawn}
    return Match(
        seed=world.seed,
        kind="tiny",
        loop=truth(ours, first["best"]),
        draws=truths.get(second["best"], 0.0),
        oracle=max(truths.values(), default=0.0),
        experiments=[first["experiments"], second["experiments"]],
        seconds=0.0,
    )


TUNED: dict[str, dict[str, Any]] = {
    "learning_rate": {"default": 5e-4, "search": [5e-5, 2e-2]},
    "batch_size": {"default": 64, "search": [16, 128]},
    "warmup": {"search": [0.0, 0.3]},
    "weight_decay": {"search": [0.0, 0.1]},
}
"""Ranges that say something, in both workspaces alike; everything else is fixed at what the demo takes."""
FIXED = {
    "sft": {"max_steps": 60, "epochs": 1, "max_length": 128, "logging_steps": 10},
    "rft": {
        "epochs": 2,
        "steps_per_round": 25,
        "samples": 4,
        "prompts": 128,
        "sampling_batch": 512,
        "max_new_tokens": 6,
    },
}


def fresh_sums(world: World) -> Path:
    """2,000 sums that occur neither in the gold file nor among the training rows."""
    from evo import assets

    shipped = assets.folder("workspace_template") / "addition"
    known = "".join((shipped / name).read_text() for name in ("gold.jsonl", "train.jsonl"))
    every = [(a, b) for a in range(10, 100) for b in range(10, 100) if f'"{a}+{b}=' not in known]
    chosen = random.Random(world.seed).sample(every, min(2000, len(every)))
    path = world.folder / "fresh.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = ({"prompt": f"{a}+{b}=", "target": str(a + b)} for a, b in chosen)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def worker(world: World) -> Match:
    for name in [name for name in os.environ if name.startswith("EVO_")]:
        del os.environ[name]
    found = match(world)
    shutil.rmtree(world.folder, ignore_errors=True)
    return found


def line(found: Match) -> str:
    won = "won " if found.is_won else "lost"
    return (
        f"seed {found.seed:>3} {found.kind:<12} {won} loop {found.loop:.3f}  draws: best {found.oracle:.3f},"
        f" chosen {found.draws:.3f}  {found.experiments} experiments  {found.seconds:.0f} s"
    )


def known_lines(path: Path) -> dict[int, Match]:
    if not path.is_file():
        return {}
    return {found.seed: found for text in path.read_text().splitlines() if (found := Match(**json.loads(text)))}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=None)
    parser.add_argument("--experiments", type=int, default=12)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--model", default="", choices=("", "tiny"))
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--work", type=Path, default=Path("loop-worlds"))
    args = parser.parse_args(argv)
    seeds = args.seeds or (3 if args.model else 20)
    work = args.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    path = work / f"{args.model or 'cube'}-{args.experiments}-{args.workers}.jsonl"
    done = known_lines(path)
    worlds = [World(seed, args.experiments, args.workers, work, args.model) for seed in range(seeds)]
    with ProcessPoolExecutor(args.processes, max_tasks_per_child=1) as pool:
        for future in as_completed([pool.submit(worker, world) for world in worlds if world.seed not in done]):
            found = future.result()
            done[found.seed] = found
            with path.open("a") as file:
                file.write(json.dumps(asdict(found)) + "\n")
            print(line(found), flush=True)
    chosen = [done[seed] for seed in range(seeds)]
    won, own = sum(found.is_won for found in chosen), sum(found.loop > found.draws for found in chosen)
    needed = math.ceil((2 / 3 if args.model else SHARE) * seeds)
    print(f"the loop beats the best of the draws in {won} of {seeds} (needed: {needed}), their own choice in {own}")
    return 0 if won >= needed else 1


if __name__ == "__main__":
    sys.exit(main())
