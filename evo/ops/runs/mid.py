"""Mid-evaluation: what a run is told of it, and what it has left when the run is over.

Invariant: what lies in `mid/` was within reach of the training. It is read as facts about one run, rows that are not
sound are left out, and no score comes of it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import NamedTuple

from evo.clock import parse_duration
from evo.config import RecipeConfig
from evo.domain.experiment import Experiment
from evo.domain.item import ItemResult
from evo.domain.job import AttemptFolder, EvalJob, MidFacts, MidPart, Stage
from evo.domain.score import per_item
from evo.errors import EvoError
from evo.files import sha256_file, write_json
from evo.lightdata import fields, replace
from evo.ops.judging.judge import Judge, eval_job, ordinary, pinned_items
from evo.runner import records
from evo.session import Session
from evo.store import attempts, experiments, results
from evo.store.checks import finite_results
from evo.store.mid import MidRow
from evo.validation import plain


class Ordered(NamedTuple):
    """`skips_regressed`: the evaluation may be left out."""

    facts: MidFacts
    stage: Stage
    skips_regressed: bool


class Left(NamedTuple):
    """`results`: of the weights that the run hands over."""

    rows: list[MidRow]
    results: list[ItemResult]


NOTHING = Left([], [])


def with_mid(session: Session, judge: Judge, job: EvalJob) -> EvalJob:
    """`job` as one that scores the mid slice beside its own items, where the workspace has one."""
    if not judge.has_mid:
        return job
    items = pinned_items(session, "mid")
    answers = Path(job.out_dir).parent / records.MID
    return replace(job, mid=MidPart(str(items), sha256_file(items), str(answers)))


def order(
    session: Session, judge: Judge, experiment: Experiment, recipe: RecipeConfig, folder: AttemptFolder
) -> Ordered | None:
    """Write the mid-evaluator's job. None where recipe or workspace have no mid-evaluation."""
    wish = recipe.mid_eval
    if wish is None or not judge.has_mid:
        return None
    folder.mid_dir.mkdir(exist_ok=True)
    items = pinned_items(session, "mid")
    reference = parent_means(session, experiment, judge)
    job = eval_job(session, judge, split="mid", model=folder.checkpoints, out_dir=folder.mid_dir, items=items)
    write_json(folder.mid_job, plain(replace(job, reference=reference)))
    argv = [sys.executable, "-P", "-m", "evo.evaluate", "--mid", str(folder.root), sha256_file(folder.mid_job)]
    timeout = parse_duration(session.config.eval.timeout, name="eval.timeout")
    stage = Stage(argv, "/", ordinary(session) | {"HF_HUB_OFFLINE": "1"}, str(folder.mid_log), timeout)
    facts = MidFacts(wish.every, wish.patience, items=items.read_bytes().count(b"\n"), worst=job.worst)
    return Ordered(facts, stage, skips_regressed=bool(reference) and not has_good_run(session, experiment))


def parent_means(session: Session, experiment: Experiment, judge: Judge) -> dict[str, float]:
    """Mid item -> the result of the parent's weights in this epoch; empty where it has none."""
    parent = experiments.get(session.db, experiment.parent or experiment.id)
    if parent.primary_attempt is None:
        return {}
    found = results.items(session.db, parent.id, n=parent.primary_attempt, eval_hash=judge.eval_hash, split="mid")
    return per_item(found)


def has_good_run(session: Session, experiment: Experiment) -> bool:
    """Another seed counts already: to leave this one's result out would make the mean over seeds look better."""
    return any(attempt.outcome == "ok" for attempt in attempts.of(session.db, experiment.id))


def left_by(folder: AttemptFolder) -> Left:
    """What the attempt's mid-evaluations have left, and the mid results of its weights."""
    best = records.best_answer(str(folder.mid_dir)) if folder.mid_dir.is_dir() else None
    best_step = best.get("step") if best is not None else None
    rows = [row for path in sorted(folder.mid_dir.glob("[0-9]*.json")) if (row := _row(path, best_step)) is not None]
    source = folder.eval_mid
    if not source.is_file() and best_step is not None:
        source = folder.mid_dir / f"{best_step:06d}.jsonl"
    return Left(rows, read_items(source))


def _row(path: Path, best_step: object) -> MidRow | None:
    answer = records.read_record(str(path)) if path.stem.isdecimal() else None
    if answer is None or not answer.keys() >= set(MidRow._fields[:5]):
        return None
    row = MidRow(**{name: answer[name] for name in MidRow._fields[:5]})
    row = row._replace(is_best=row.step == best_step)
    return row if row.is_sound and row.step == int(path.stem) else None


def read_items(path: Path) -> list[ItemResult]:
    """The graded items in `path`; none where they are not whole."""
    known = {item.name for item in fields(ItemResult)}
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        found = [ItemResult(**{name: value for name, value in row.items() if name in known}) for row in rows]
        return finite_results(found, of=str(path))
    except (OSError, ValueError, TypeError, AttributeError, EvoError):
        return []
