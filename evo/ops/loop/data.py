"""On a miss the best experiment is tried again: with rows of the slices that it is weak at drawn twice, and, where what
came after it fell below what it started from, at a lower learning rate.

Which slices those are is read off dev, so the rows so chosen are a dataset made from dev, and the experiment and its
descendants are labelled dev-exposed.
Invariant: rows are repeated as they stand; nothing of an evaluation item enters them, and the source is not changed.
"""

from __future__ import annotations

import io
import json
import math
import random
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from evo.beliefs import form_beliefs
from evo.config import RecipeConfig
from evo.data.reader import read_items, read_rows
from evo.domain.experiment import BARREN, ROOT, Experiment
from evo.domain.loop import Pick, Plan
from evo.errors import EvoError
from evo.files import sha256_file, sha256_text, write_text
from evo.ideas.insight import Z
from evo.ops.loop.grounds import FOLDER, Ground
from evo.ops.loop.pick import Proposal
from evo.ops.loop.stop import ended
from evo.session import Session
from evo.store import attempts, datasets, experiments, results
from evo.store.datasets import Dataset
from evo.workspace.recipes import CONFIG, load_recipe

HARD = 0.7
"""Slices below this accuracy are hard."""
FEWEST = 5
"""Items of a slice below which its mean says nothing."""
RATE = "learning_rate"


def proposal(session: Session, known: list[Ground], picks: list[Pick]) -> Proposal | None:
    """The recipe and the values of the best experiment, with rows of its weak slices twice and its learning rate
    lowered where that is called for; None where it was tried, or neither is to be done."""
    best = experiments.get(session.db, form_beliefs(session).best)
    ground = next((ground for ground in known if best.id == ROOT or ground.recipe == best.recipe), None)
    if ground is None or any(
        pick.kind in ("data", "move") and pick.plan.why.startswith(f"{best.id} ") for pick in picks
    ):
        return None
    rows, rate = again(session, best, ground.config), lowered(session, best, ground.config, picks)
    if not rows and rate is None:
        return None
    params = ground.config.params
    values = {name: value for name, value in best.params.items() if name in params} | (rate or {})
    changed = {name: value for name, value in values.items() if value != params[name].default}
    words = ["its defaults" if best.id == ROOT else f"the values of {best.id}"]
    reasons = []
    if rows:
        names = ", ".join(rows)
        words.append(f"the rows of {names} twice")
        reasons.append(f"is below {HARD:.0%} on {names}: {sum(rows.values())} of their training rows are drawn twice")
    for name, value in (rate or {}).items():
        words.append(f"{name} {value:g}")
        reasons.append(f"was followed by a fall: {name} is lowered by loop.lr-decay")
    plan = Plan(
        hypothesis=f"{ground.recipe} with {', '.join(words)}",
        why=f"{best.id} {', and '.join(reasons)}",
        parent=best.parent or ROOT,
        recipe=ground.recipe,
        settings=ground.fixed | changed,
        seed=best.seed,
        slices=list(rows),
        rows=rows,
    )
    return Proposal("data" if rows else "move", plan)


def lowered(session: Session, best: Experiment, recipe: RecipeConfig, picks: list[Pick]) -> dict[str, Any] | None:
    """The learning rate of the best times `loop.lr-decay`, where a run since fell below its parent; None where none
    did, where the recipe has no such parameter, or it would leave its range. The untouched base has none."""
    decay = session.config.loop.lr_decay
    name = next((name for name, spec in recipe.params.items() if RATE in (name, spec.alias)), None)
    if best.id == ROOT or name is None or decay == 1 or not fell(session, best, picks):
        return None
    spec = recipe.params[name]
    now = best.params.get(name, spec.default)
    if isinstance(now, bool) or not isinstance(now, (int, float)):
        return None
    value = float(f"{now * decay:.3g}")
    is_legal = (spec.min is None or value >= spec.min) and (spec.above is None or value > spec.above)
    return {name: value} if is_legal else None


def fell(session: Session, best: Experiment, picks: list[Pick]) -> bool:
    """Whether one that was made after the best had its score is clearly below its own parent: by mid-evaluation, or by
    the whole 95 % interval of the difference."""
    if best.primary_attempt is None:
        return False
    scored_at = attempts.get(session.db, best.id, best.primary_attempt).ended_at or ""
    names = [pick.experiment for pick in ended(picks) if pick.experiment is not None and pick.kind != "seed"]
    since = [one for one in (experiments.get(session.db, name) for name in names) if one.created_at >= scored_at]
    standing = [one for one in since if one.state not in BARREN]
    return any(one.is_regressed or is_loss(one, experiments.get(session.db, one.parent or ROOT)) for one in standing)


def is_loss(one: Experiment, parent: Experiment) -> bool:
    """By their gains over exp_0000, whose own noise counts as that of `one`."""
    start = 0.0 if parent.id == ROOT else parent.gain
    if one.gain is None or one.gain_var is None or start is None or one.epoch != parent.epoch:
        return False
    return one.gain - start < -Z * math.sqrt(one.gain_var + (parent.gain_var or one.gain_var))


def again(session: Session, best: Experiment, recipe: RecipeConfig) -> dict[str, int]:
    """Weak slice -> how many of its training rows are drawn twice: `loop.augment-per-failure` for each dev item of it
    that the best gets wrong, all of them where there are fewer."""
    per_failure = session.config.loop.augment_per_failure
    if not recipe.data.train or not per_failure:
        return {}
    there = Counter(str(row.get("slice")) for source in local(session, recipe) for row in rows_of(source))
    weak = hard_slices(session, best, there)
    return {name: min(there[name], per_failure * failed) for name, failed in weak.items()}


def hard_slices(session: Session, best: Experiment, there: Mapping[str, int]) -> dict[str, int]:
    """The weakest slices of dev that the training rows (`there`: rows of each) have too, weakest first, at most three,
    and how many items of each the best gets wrong."""
    metric = session.config.metric
    dev = session.layout.data / "dev.jsonl"
    if best.epoch is None or metric.direction != "max" or metric.range != [0.0, 1.0] or not dev.is_file():
        return {}
    means = results.pooled_means(session.db, best.id, eval_hash=best.epoch)
    by_slice: dict[str, list[float]] = defaultdict(list)
    for item in read_items(dev, needs_target=False):
        if item.slice and item.id in means:
            by_slice[item.slice].append(means[item.id])
    mean = {name: sum(found) / len(found) for name, found in by_slice.items() if len(found) >= FEWEST}
    weak = sorted((name for name in mean if mean[name] < HARD and there.get(name)), key=mean.__getitem__)
    return {name: sum(value < 0.5 for value in by_slice[name]) for name in weak[:3]}


def local(session: Session, recipe: RecipeConfig) -> list[Path]:
    """Sources that are JSONL files of the workspace."""
    paths = [session.layout.root / part.source for part in recipe.data.train if "://" not in part.source]
    return [path for path in paths if path.suffix == ".jsonl" and path.is_file()]


def rows_of(path: Path) -> list[dict[str, object]]:
    try:
        return [row.data for row in read_rows(path)]
    except EvoError:
        return []


def reweigh(session: Session, experiment: Experiment, slices: list[str], rows: Mapping[str, int]) -> list[str]:
    """Add rows of `slices` to the data of the experiment's own recipe once more, as many of each as `rows` says (all
    where it says nothing), by chance; the files that were written."""
    folder = session.layout.worktree(experiment.id) / "recipe"
    recipe = load_recipe(session.layout, folder).config
    found = [(source, row) for source in local(session, recipe) for row in rows_of(source)]
    chosen: dict[Path, list[dict[str, object]]] = defaultdict(list)
    for name in slices:
        there = [entry for entry in found if entry[1].get("slice") == name]
        n = min(rows.get(name, len(there)), len(there))
        for i in sorted(random.Random(f"{experiment.seed}/{name}").sample(range(len(there)), n)):
            chosen[there[i][0]].append(there[i][1])
    written = [keep(session, source, part) for source, part in chosen.items()]
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
