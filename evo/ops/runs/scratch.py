"""`evo eval --scratch`: look at weights without touching the tree.

Invariant: nothing is written to the database, and sealed items are never evaluated.
"""

from __future__ import annotations

import re
import statistics
from pathlib import Path

from evo.data.reader import read_items
from evo.domain.experiment import parse_experiment_id
from evo.domain.item import Item, ItemResult
from evo.domain.job import AttemptFolder
from evo.domain.score import per_item
from evo.domain.upkeep_views import ScratchView
from evo.errors import NotFound, Refused, UsageError, nearest
from evo.files import sha256_text
from evo.lightdata import replace
from evo.ops.judging.judge import eval_job, evaluate, generation, pinned_items, present_judge, write_items
from evo.ops.progress import OnTick, Tick, silent
from evo.ops.runs.collect import score_of
from evo.ops.runs.launch import weights_folder
from evo.session import Session
from evo.store import experiments
from evo.workspace.values import parse_value


def evaluate_scratch(
    session: Session, what: str, *, settings: list[str], suite: Path | None = None, on_tick: OnTick = silent
) -> ScratchView:
    """Mean and standard error of `what` (an experiment or a folder) on dev or on the items of `suite`."""
    judge = present_judge(session)
    model = model_of(session, what)
    out = session.layout.cache / "scratch" / sha256_text(f"{model} {settings} {suite}")[:12]
    place = AttemptFolder(out / "run")
    path = pinned_items(session, "dev")
    if suite is not None:
        refuse_sealed(session, suite)
        if session.config.eval.mode == "scalar":
            raise Refused("eval.mode is scalar: the benchmark brings its own items", hint="leave out --suite")
        path = out / "items.jsonl"
        write_items(path, read_items(suite, needs_target=True), mode=0o644)
    job = eval_job(session, judge, split="dev", model=model, out_dir=place.eval_dir, items=path)
    job = replace(job, generation=job.generation | overrides(session, settings))
    _, graded = evaluate(session, job, folder=place, beat=lambda s: on_tick(Tick(what, 0, "evaluating", s)))
    means = per_item(graded)
    values = list(means.values())
    items = read_items(Path(job.items), needs_target=False)
    score = score_of(session, values)
    samples = max((result.sample for result in graded), default=0) + 1
    return ScratchView(
        what,
        score.mean,
        score.se,
        score.n,
        str(place.eval_dir),
        slice_means(items, means),
        samples,
        share_right(session, graded) if samples > 1 else None,
    )


def model_of(session: Session, what: str) -> Path:
    if re.fullmatch(r"(exp_)?\d+", what):
        return weights_folder(session, experiments.get(session.db, parse_experiment_id(what)))
    path = Path(what)
    if not path.is_dir():
        raise NotFound(f"{what} is neither an experiment nor a folder", hint="evo tree lists the experiments")
    return path.resolve()


def overrides(session: Session, settings: list[str]) -> dict[str, object]:
    """`temperature=0.7` and the like: generation settings for this evaluation only."""
    known = generation(session.config.eval)
    found: dict[str, object] = {}
    for text in settings:
        key, equals, value = text.partition("=")
        name = key.strip().removeprefix("eval.").replace("-", "_")
        if not equals or name not in known:
            raise UsageError(f"--set {text}: no generation setting of that name", hint=nearest(name, known))
        found[name] = parse_value(f"eval.{name.replace('_', '-')}", value)
    return found


def refuse_sealed(session: Session, suite: Path) -> None:
    if suite.resolve().is_relative_to(session.layout.sealed.resolve()):
        raise Refused(f"{suite} is sealed", hint="`evo certify` asks held-out; `evo release` opens the vault")


def share_right(session: Session, graded: list[ItemResult]) -> float | None:
    """Of items with an answer at the end of the metric's range; None where that is open."""
    metric = session.metric
    top = metric.high if metric.sign > 0 else metric.low
    right: dict[str, bool] = {}
    for result in graded:
        right[result.item] = right.get(result.item, False) or result.score == top
    return None if top is None or not right else sum(right.values()) / len(right)


def slice_means(items: list[Item], means: dict[str, float]) -> dict[str, float]:
    groups: dict[str, list[float]] = {}
    for item in items:
        if item.slice is not None and item.id in means:
            groups.setdefault(item.slice, []).append(means[item.id])
    return {name: statistics.fmean(values) for name, values in sorted(groups.items())}
