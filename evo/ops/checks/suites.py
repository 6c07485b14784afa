"""Guards as evaluations: what each consists of at this moment, its own hash, and the job that scores it.

Invariant: a guard has a hash of its own, so adding one leaves the epoch and every score as they are; a guard whose
items, scorer or engine change has another hash, and its earlier results are not compared with later ones.
"""

from __future__ import annotations

from pathlib import Path

from evo.config import GuardConfig
from evo.data import guards as sealed
from evo.data import seal
from evo.domain.item import Item
from evo.domain.job import EvalJob
from evo.errors import UsageError
from evo.evaluate.engine import engine_of
from evo.evaluate.evalhash import EvalSpec, eval_hash, text_hash
from evo.files import sha256_file, sha256_json
from evo.guarding import is_own_measure
from evo.lightdata import dataclass, replace
from evo.ops.judging.judge import Judge, eval_job, generation, pinned_items, write_items
from evo.session import Session
from evo.store import events, meta
from evo.workspace import repository
from evo.workspace.pin import PinnedEvaluation, pin_evaluation

FOLDER = "guards"
"""Beside the results of an evaluation: a folder for each guard."""


@dataclass(frozen=True)
class Guard:
    config: GuardConfig
    guard_hash: str
    pinned: PinnedEvaluation
    record: sealed.GuardRecord | None
    """None: it asks the workspace's own items."""

    @property
    def name(self) -> str:
        return self.config.name


def present(session: Session, judge: Judge) -> list[Guard]:
    """The guards of evo.yaml, their items sealed and their files pinned; none where single numbers are scored."""
    if session.config.eval.mode == "scalar":
        return []
    found = [_present(session, judge, guard) for guard in session.config.guards]
    now = {guard.name: guard.guard_hash for guard in found}
    before = meta.get(session.db, "guards", default={})
    if now != before:
        meta.set(session.db, "guards", now)
        events.append(session.db, "guards", data={"before": before, "now": now})
    return found


def _present(session: Session, judge: Judge, guard: GuardConfig) -> Guard:
    config = session.config.eval
    where = f"{session.layout.config}, field guards: {guard.name}"
    if guard.scorer and config.backend == "command":
        problem = "a scorer needs a model to ask, and eval.backend is command"
        raise UsageError(f"{where}: {problem}", hint="give the guard a command, or items alone")
    root, record = session.layout.root, None
    if guard.items:
        tracked = repository.tracked(root, ["."]) if guard.name not in sealed.records(root) else []
        record = sealed.seal_guard(root, guard.name, guard.items, seed=session.config.splits.seed, tracked=tracked)
    if guard.scorer or guard.command:
        own = replace(config, scorer=guard.scorer or "exact", files=guard.files)
        alone = replace(session.config, eval=own, system_prompt="")
        pinned = pin_evaluation(session.layout, alone, model=Path(judge.base_model) if judge.base_model else None)
    else:
        pinned = judge.pinned
    return Guard(guard, _hash(session, judge, guard, pinned, record), pinned, record)


def _hash(
    session: Session, judge: Judge, guard: GuardConfig, pinned: PinnedEvaluation, record: sealed.GuardRecord | None
) -> str:
    manifest = seal.read_manifest(session.layout.root)
    splits = {"dev": record.dev, "heldout": record.heldout} if record else manifest.splits
    items = {name: part.sha256 for name, part in splits.items() if name in ("dev", "heldout")}
    if guard.command:
        engine = engine_of("command")
        return eval_hash(EvalSpec(items, "", engine, command=guard.command, files=pinned.file_hashes))
    if not guard.scorer:
        return sha256_json([items, judge.eval_hash])[:16]
    settings = _generation(session, guard) | {"dtype": session.config.model.dtype}
    del settings["batch_size"]
    spec = EvalSpec(
        items=items,
        scorer=guard.scorer,
        engine=judge.engine.name,
        scorer_options={"pattern": guard.pattern, "choices": guard.choices},
        chat_template=text_hash(pinned.chat_template),
        generation=settings,
        files=pinned.file_hashes,
    )
    return eval_hash(spec)


def _generation(session: Session, guard: GuardConfig) -> dict[str, object]:
    """Greedy, one answer, at most as long as the guard says."""
    own = {"max_new_tokens": guard.max_new_tokens, "temperature": 0.0, "top_p": 1.0, "samples": 1, "stop": []}
    return generation(session.config.eval) | own


def job_of(session: Session, judge: Judge, guard: Guard, *, model: Path, out_dir: Path, items: Path) -> EvalJob:
    """The evaluation of a guard's items on dev; `sealed_job` makes one of held-out of it."""
    job = eval_job(session, judge, split="dev", model=model, out_dir=out_dir, items=items)
    job = replace(job, eval_hash=guard.guard_hash, forbidden=[])
    config = guard.config
    if is_own_measure(guard.config):
        return job
    measured = replace(
        job,
        pinned_dir=str(guard.pinned.folder),
        pins=guard.pinned.file_hashes,
        system_prompt="",
        low=0.0,
        high=1.0,
        worst=0.0,
        direction="max",
        metric="",
        generation=_generation(session, config),
    )
    if config.command:
        own = replace(measured, backend="command", command=config.command, read="results", scorer_options={})
        return replace(own, server=None)
    options: dict[str, object] = {"pattern": config.pattern, "choices": config.choices}
    return replace(measured, scorer=config.scorer, scorer_options=options)


def sealed_job(job: EvalJob) -> EvalJob:
    """`job` on held-out items: outputs are kept hashed."""
    return replace(job, split="heldout", keep_output=False)


def dev_path(session: Session, guard: Guard) -> Path:
    """The guard's dev items as they were sealed, in the copy that evaluations read."""
    if guard.record is None:
        return pinned_items(session, "dev")
    path = session.layout.pinned / f"guard-{guard.name}-{guard.record.dev.sha256[:16]}.jsonl"
    if not path.is_file() or meta.get(session.db, f"pinned {path.name}") is None:
        write_items(path, sealed.load(session.layout.root, guard.name, is_sealed=False))
        meta.set(session.db, f"pinned {path.name}", sha256_file(path))
    return path


def heldout_of(session: Session, guard: Guard) -> list[Item]:
    root = session.layout.root
    return sealed.load(root, guard.name, is_sealed=True) if guard.record else seal.load_split(root, "heldout")
