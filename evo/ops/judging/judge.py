"""The pinned judge: what an evaluation consists of at this moment, and running one.

Invariant: an evaluation reads pinned copies only, never a worktree; a changed ingredient is a new epoch, named.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from evo.clock import parse_duration
from evo.config import EvalConfig
from evo.data import seal
from evo.domain.item import Item, ItemResult, Split
from evo.domain.job import AttemptFolder, EvalJob, EvalSummary, Job, RunFacts, ScorerFacts, Stage
from evo.errors import FileFormatError, NotFound, Refused, RunFailed, RunTimedOut, UsageError
from evo.evaluate.evalhash import EvalSpec, eval_hash, text_hash
from evo.evaluate.light import light_module
from evo.files import read_json, sha256_file, sha256_json, write_json, write_jsonl
from evo.lightdata import dataclass, replace
from evo.ops.runs.serving import Engine, keep, present_engine
from evo.runner import process, recover, watch
from evo.runner.environment import ordinary_environment
from evo.runner.executors.local import LocalExecutor
from evo.session import Session, Settings, metric_of
from evo.store import meta
from evo.validation import plain, restore
from evo.workspace.folders import remove_folder
from evo.workspace.pin import PinnedEvaluation, pin_evaluation

_ROOT = str(Path(__file__).resolve().parents[3])
_START = """
import importlib, sys
sys.path.append(sys.argv[1])
sys.exit(importlib.import_module(sys.argv[2]).main(sys.argv[3:]))
"""
Beat = Callable[[float], None]
"""Called about twice a second with the seconds gone by."""


@dataclass(frozen=True)
class Judge:
    eval_hash: str
    spec: dict[str, object]
    pinned: PinnedEvaluation
    base_model: str | None
    engine: Engine
    has_mid: bool = False
    """There is a mid slice."""


def present_judge(session: Session) -> Judge:
    """The evaluation that evo.yaml and its files describe now, its files pinned."""
    config = session.config
    refuse_contradictions(session)
    if base_model(session) is not None:
        import_module("evo.ops.checks.identity").pinned_base(session)
    engine = present_engine(session)
    if config.eval.mode == "scalar":
        seal_nothing(session)
    manifest = seal.read_manifest(session.layout.root)
    pinned = pin_evaluation(session.layout, config, model=base_model(session))
    settings = generation(config.eval) | {"dtype": config.model.dtype}
    del settings["batch_size"]  # it changes speed, not answers
    spec = EvalSpec(
        items=items_of_spec(config.eval, manifest),
        scorer=config.eval.scorer,
        engine=engine.name,
        scorer_options=scorer_options(session),
        system_prompt=text_hash(pinned.system_prompt),
        chat_template=text_hash(pinned.chat_template),
        generation=settings,
        command=config.eval.command,
        files=pinned.file_hashes,
        metric=plain(config.metric),
        forbidden=list(config.eval.forbidden),
    )
    has_mid = "mid" in manifest.splits and config.eval.mode != "scalar"
    return Judge(eval_hash(spec), plain(spec), pinned, meta.get(session.db, "model_path"), engine, has_mid)


def refuse_contradictions(session: Session | Settings) -> None:
    """UsageError where settings of evo.yaml that are each in order do not go together."""
    config, where = session.config, f"{session.layout.config}, field"
    if config.eval.forbidden and config.metric.range == "none":
        raise UsageError(
            f"{where} eval.forbidden: a forbidden output gets the worst score of the range, and metric.range is none",
            hint="evo config set metric.range 0,1",
        )
    reads_log, is_scalar = config.eval.read != "results", config.eval.mode == "scalar"
    if (reads_log or is_scalar) and config.eval.backend != "command":
        key, value = ("mode", "scalar") if is_scalar else ("read", config.eval.read)
        problem = f"{value} is how a command's results are taken, and eval.backend is {config.eval.backend}"
        raise UsageError(f"{where} eval.{key}: {problem}", hint="evo config set eval.backend command")
    if reads_log and is_scalar:
        problem = "a scalar benchmark writes one number, and no log is read"
        raise UsageError(f"{where} eval.read: {problem}", hint="evo config unset eval.read, or eval.mode")
    if is_scalar and config.eval.samples > 1:
        problem = "a scalar benchmark is called eval.repeats times"
        raise UsageError(f"{where} eval.samples: {problem}", hint="evo config unset eval.samples")


def seal_nothing(session: Session) -> None:
    """A scalar benchmark has no items to seal; a seal that is there, or was, stays in force."""
    if not seal.manifest_path(session.layout.root).exists() and not session.heldout_hash:
        seal.seal_nothing(session.layout.root)


def items_of_spec(config: EvalConfig, manifest: seal.Manifest) -> dict[str, str]:
    """Split -> hash; the calls of a scalar benchmark stand for its items."""
    if config.mode == "scalar":
        return {"dev": f"{config.repeats} calls"}
    return {split: record.sha256 for split, record in manifest.splits.items() if split != "mid"}


def base_model(session: Session) -> Path | None:
    """The folder of the pinned base model, where the workspace has one. NotFound when it is gone."""
    path = meta.get(session.db, "model_path")
    if path is None:
        return None
    if not Path(path).is_dir():
        raise NotFound(
            f"the base model is gone: {path}", hint="bring the folder back; another model is another workspace"
        )
    return Path(path)


def pinned_items(session: Session, split: Split) -> Path:
    """Dev or mid items as they were sealed, from the copy that evaluations read; a later edit does not reach it."""
    if session.config.eval.mode == "scalar":
        return repeats(session, split)
    record = seal.read_manifest(session.layout.root).splits.get(split)
    if record is None:
        raise Refused(f"there are no {split} items", hint="evo data status")
    path = session.layout.pinned / f"{split}-{record.sha256[:16]}.jsonl"
    if not path.is_file() or meta.get(session.db, f"pinned {path.name}") is None:
        write_items(path, seal.load_split(session.layout.root, split))
        meta.set(session.db, f"pinned {path.name}", sha256_file(path))
    return path


def repeats(session: Session, split: Split) -> Path:
    """The calls of a scalar benchmark, written down as items: dev only."""
    if split != "dev":
        raise Refused(f"eval.mode is scalar: there are no {split} items", hint="evo config unset eval.mode")
    count = session.config.eval.repeats
    path = session.layout.pinned / f"repeats-{count}.jsonl"
    if not path.is_file():
        write_jsonl(path, [{"id": f"repeat {k}", "prompt": f"repeat {k}"} for k in range(1, count + 1)], mode=0o444)
    return path


def write_items(path: Path, items: list[Item], *, mode: int = 0o444) -> None:
    write_jsonl(path, [dict(item.row) | {"id": item.id} for item in items], mode=mode)


def scorer_options(session: Session) -> dict[str, object]:
    """What the scorer is built with. Legal choices that are not named are the answers that occur, in any split."""
    config = session.config.eval
    choices = list(config.choices)
    if config.scorer == "choice" and not choices:
        splits: tuple[Split, ...] = ("dev", "heldout", "vault")
        items = [item for split in splits for item in seal.load_split(session.layout.root, split)]
        choices = sorted({item.target for item in items if item.target is not None})
    return {"pattern": config.pattern, "choices": choices} | reading(config)


def reading(config: EvalConfig) -> dict[str, object]:
    """How a command's results are taken, where it is not the usual way."""
    found: dict[str, object] = {} if config.read == "results" else {"read": config.read}
    return found | ({"mode": config.mode} if config.mode == "scalar" else {})


def generation(config: EvalConfig) -> dict[str, object]:
    return {
        "max_new_tokens": config.max_new_tokens,
        "temperature": config.temperature,
        "top_p": config.top_p,
        "samples": config.samples,
        "seed": config.seed,
        "batch_size": config.batch_size,
        "stop": list(config.stop),
    }


def eval_job(session: Session, judge: Judge, *, split: Split, model: Path, out_dir: Path, items: Path) -> EvalJob:
    """The job that scores `model` on `split`; held-out and vault keep only hashes of outputs."""
    config, metric = session.config, metric_of(session.config)
    worst = metric.low if metric.direction == "max" else metric.high
    return EvalJob(
        split=split,
        eval_hash=judge.eval_hash,
        backend=judge.engine.backend,
        items=str(items),
        model=str(model),
        base_model=judge.base_model,
        out_dir=str(out_dir),
        pinned_dir=str(judge.pinned.folder),
        scorer=config.eval.scorer,
        pins=judge.pinned.file_hashes,
        items_sha256=meta.get(session.db, f"pinned {items.name}", default=""),
        scorer_options=scorer_options(session),
        generation=generation(config.eval),
        forbidden=list(config.eval.forbidden),
        system_prompt=judge.pinned.system_prompt,
        chat_template=judge.pinned.chat_template,
        command=config.eval.command,
        read=config.eval.read,
        is_scalar=config.eval.mode == "scalar",
        metric=config.metric.name,
        low=metric.low,
        high=metric.high,
        worst=worst,
        keep_output=split in ("mid", "dev"),
        device=config.model.device,
        dtype=config.model.dtype,
        direction=metric.direction,
        server=judge.engine.server,
    )


def scorer_facts(session: Session, judge: Judge) -> ScorerFacts | None:
    """What rewards a model in training as evaluation will score it; None where a command scores."""
    if session.config.eval.backend == "command":
        return None
    metric = metric_of(session.config)
    return ScorerFacts(
        name=session.config.eval.scorer,
        options=scorer_options(session),
        pinned_dir=str(judge.pinned.folder),
        pins=judge.pinned.file_hashes,
        forbidden=list(session.config.eval.forbidden),
        worst=metric.low if metric.direction == "max" else metric.high,
        low=metric.low,
        high=metric.high,
        stop=list(session.config.eval.stop),
        direction=metric.direction,
    )


def read_results(out_dir: Path) -> tuple[EvalSummary, list[ItemResult]]:
    """What a finished evaluation wrote. The summary is written last, so its absence means that none finished."""
    summary = restore(EvalSummary, read_json(out_dir / "summary.json"))
    path = out_dir / "results.jsonl"
    results = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            results.append(ItemResult(**json.loads(line)))
        except (TypeError, json.JSONDecodeError) as error:
            raise FileFormatError(path, str(error), line=number) from None
    if len(results) != summary.n:
        raise FileFormatError(path, f"holds {len(results)} results, not the {summary.n} of summary.json")
    return summary, results


def evaluate(
    session: Session, job: EvalJob, *, folder: AttemptFolder, beat: Beat | None = None
) -> tuple[EvalSummary, list[ItemResult]]:
    """Run an evaluation of its own in `folder`, under a supervisor as attempts are, and wait for it.

    RunFailed or RunTimedOut names the log. The evaluation ends with this process.
    """
    if folder.root.exists():
        process.sweep(folder.root)
        remove_folder(folder.root)
    folder.root.mkdir(parents=True, mode=0o700)
    folder.eval_dir.mkdir(mode=0o700)
    write_json(folder.eval_job, plain(job), mode=0o600)
    keep(session, job.server, folder)
    token = os.urandom(16).hex()
    ordered = evaluation_only(session, folder)
    if session.caps is None:
        _wait_for(ordered, token, beat)
    else:
        assert ordered.evaluate is not None
        charged = import_module("evo.ops.budget").charged
        with charged(session, f"evaluation on {job.split}", most_s=ordered.evaluate.timeout_s) as limits:
            if limits is not None:
                ordered = replace(ordered, most_s=limits.most_s, grace_s=limits.grace_s)
            _wait_for(ordered, token, beat)
    finding = recover.inspect(folder.root, token=token, controller=None)
    result = finding.result
    if result is None or result.outcome != "ok":
        kind = RunTimedOut if result is not None and result.failure == "eval_timeout" else RunFailed
        said = result.message if result is not None and job.keep_output else "it did not end well"
        raise kind(f"the evaluation on {job.split} failed: {said}", hint=f"see {folder.eval_log}")
    return read_results(folder.eval_dir)


def _wait_for(job: Job, token: str, beat: Beat | None) -> None:
    executor = LocalExecutor()
    handle = executor.submit(job, token=token)
    watch.wait(executor, [handle], on_tick=lambda seen: beat(seen[0].state.seconds or 0.0) if beat else None)


def evaluation_only(session: Session, folder: AttemptFolder) -> Job:
    return Job(
        experiment="",
        attempt=0,
        folder=str(folder.root),
        train=None,
        evaluate=evaluate_stage(session, folder),
        run=RunFacts("", 0, 0, {}, {}, "", ""),
        controller=process.current(),
        grace_s=session.config.run.grace_s,
    )


def evaluate_stage(session: Session, folder: AttemptFolder) -> Stage:
    """The evaluator's process: evo's own code, outside the sandbox, in this environment without Python's detours."""
    timeout = parse_duration(session.config.eval.timeout, name="eval.timeout")
    module = light_module(session.config.eval.backend)
    words = ["-I", "-S", "-c", _START, _ROOT, module] if module else ["-P", "-m", "evo.evaluate"]
    argv = [sys.executable, *words, str(folder.eval_job)]
    return Stage(argv, "/", ordinary(session) | {"HF_HUB_OFFLINE": "1"}, str(folder.eval_log), timeout, module=module)


def ordinary(session: Session) -> dict[str, str]:
    """What training and evaluation may see of this environment."""
    return ordinary_environment(os.environ, passed=session.config.env.pass_, interpreter=Path(sys.executable))


def results_key(weights_hash: str, judge: Judge) -> str:
    """Name of a stored sealed result: these weights under this judge."""
    return sha256_json([weights_hash, judge.eval_hash])[:24]
