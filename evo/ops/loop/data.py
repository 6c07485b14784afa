"""On a miss, the training data: rows of the slices that the best experiment is weak at are drawn twice as often.

Which slices those are is read off dev, so the rows so chosen are a dataset made from dev, and the experiment and its
descendants are labelled dev-exposed.
Invariant: rows are repeated as they stand; nothing of an evaluation item enters them, and the source is not changed.
"""

from __future__ import annotations

import io
import json
from collections import defaultdict
from pathlib import Path

from ruamel.yaml import YAML

from evo.beliefs import form_beliefs
from evo.config import RecipeConfig
from evo.data.reader import read_items, read_rows
from evo.domain.experiment import ROOT, Experiment
from evo.domain.loop import Pick, Plan
from evo.errors import EvoError
from evo.files import sha256_file, sha256_text, write_text
from evo.ops.loop.grounds import Ground
from evo.ops.loop.pick import Proposal
from evo.session import Session
from evo.store import datasets, experiments, results
from evo.store.datasets import Dataset
from evo.workspace.recipes import CONFIG, load_recipe

HARD = 0.7
"""Slices below this accuracy are hard."""
FEWEST = 5
"""Items of a slice below which its mean says nothing."""
FOLDER = "data/loop"


def proposal(session: Session, known: list[Ground], picks: list[Pick]) -> Proposal | None:
    """The recipe and the values of the best experiment, with the rows of its weak slices twice; None where it was tried
    or there are none."""
    best = experiments.get(session.db, form_beliefs(session).best)
    ground = next((ground for ground in known if best.id == ROOT or ground.recipe == best.recipe), None)
    if ground is None or any(pick.kind == "data" and pick.plan.why.startswith(f"{best.id} ") for pick in picks):
        return None
    slices = hard_slices(session, best, ground.config)
    if not slices:
        return None
    names = ", ".join(slices)
    params = ground.config.params
    changed = {name: value for name, value in best.params.items() if name in params and value != params[name].default}
    why = f"{best.id} is below {HARD:.0%} on {names}: their training rows are drawn twice"
    like = "its defaults" if best.id == ROOT else f"the values of {best.id}"
    hypothesis = f"{ground.recipe} with {like} and the rows of {names} twice"
    settings = ground.fixed | changed
    plan = Plan(hypothesis, why, best.parent or ROOT, ground.recipe, settings, best.seed, slices)
    return Proposal("data", plan)


def hard_slices(session: Session, best: Experiment, recipe: RecipeConfig) -> list[str]:
    """The weakest slices of dev that the recipe's training rows have too, weakest first; at most three."""
    metric = session.config.metric
    dev = session.layout.data / "dev.jsonl"
    if best.epoch is None or metric.direction != "max" or metric.range != [0.0, 1.0] or not dev.is_file():
        return []
    means = results.pooled_means(session.db, best.id, eval_hash=best.epoch)
    by_slice: dict[str, list[float]] = defaultdict(list)
    for item in read_items(dev, needs_target=False):
        if item.slice and item.id in means:
            by_slice[item.slice].append(means[item.id])
    weak = {name: sum(found) / len(found) for name, found in by_slice.items() if len(found) >= FEWEST}
    there = {str(row.get("slice")) for source in local(session, recipe) for row in rows_of(source)}
    return sorted((name for name, mean in weak.items() if mean < HARD and name in there), key=weak.__getitem__)[:3]


def local(session: Session, recipe: RecipeConfig) -> list[Path]:
    """Sources that are JSONL files of the workspace."""
    paths = [session.layout.root / part.source for part in recipe.data.train if "://" not in part.source]
    return [path for path in paths if path.suffix == ".jsonl" and path.is_file()]


def rows_of(path: Path) -> list[dict[str, object]]:
    try:
        return [row.data for row in read_rows(path)]
    except EvoError:
        return []


def reweigh(session: Session, experiment: Experiment, slices: list[str]) -> list[str]:
    """Add the rows of `slices` to the data of the experiment's own recipe once more; the files that were written."""
    folder = session.layout.worktree(experiment.id) / "recipe"
    recipe = load_recipe(session.layout, folder).config
    written = []
    for source in local(session, recipe):
        rows = [row for row in rows_of(source) if row.get("slice") in slices]
        if rows:
            written.append(keep(session, source, rows))
    add_sources(folder / CONFIG, written)
    return written


def keep(session: Session, source: Path, rows: list[dict[str, object]]) -> str:
    """The rows as a file of the workspace that is named by its content; its path from the root."""
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    name = f"{FOLDER}/{source.stem}-{sha256_text(text)[:12]}.jsonl"
    path = session.layout.root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, text)
    datasets.register(
        session.db,
        Dataset(sha256_file(path), name, len(rows), name, "slices", (sha256_file(source),), "dev"),
    )
    return name


def add_sources(path: Path, names: list[str]) -> None:
    """Append sources to `data.train` of a recipe.yaml, unless they stand there; its comments stay."""
    yaml = YAML()
    yaml.width = 4096
    yaml.preserve_quotes = True
    document = yaml.load(path.read_text(encoding="utf-8"))
    train = document["data"]["train"]
    known = {part["source"] for part in train}
    train.extend({"source": name} for name in names if name not in known)
    text = io.StringIO()
    yaml.dump(document, text)
    write_text(path, text.getvalue())
