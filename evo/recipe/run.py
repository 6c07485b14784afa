"""What a training page sees of evo: what it was asked to do, and where to put what it made.

    run = evo.recipe.current()
    for row in run.rows("train"): ...
    run.log(step=10, loss=0.31)
    run.finish(folder_with_the_model)

Needs the standard library only, so that a page starts at once in whatever environment it trains in.
Invariant: of the processes of one launch, only rank 0 writes. Nothing that is written here is believed as a score.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evo.clock import now
from evo.errors import FileFormatError, NotFound, UsageError, nearest
from evo.files import read_json, sha256_file, sha256_folder, write_json
from evo.recipe import checkpoints
from evo.recipe.checkpoints import Mid, MidScore

_SCHEMA = "evo-job/1"
_FIELDS = (
    "params", "data", "seed", "base_model", "seed_artifact", "system_prompt", "chat_template", "init_from", "rewards",
    "scorer", "mid", "is_smoke", "fidelity", "server",
)  # fmt: skip


class NoParameter(NotFound, KeyError, AttributeError):
    """So that `params.get` and `getattr(params, name, default)` work as they do elsewhere."""

    __str__ = Exception.__str__


class Params(Mapping[str, Any]):
    """Parameters by item or by attribute: `run.params["epochs"]`, `run.params.epochs`."""

    def __init__(self, values: Mapping[str, Any], source: str) -> None:
        self._values = dict(values)
        self._source = source

    def __getitem__(self, name: str) -> Any:
        if name not in self._values:
            hint = f"add it to `params` of recipe.yaml; {nearest(name, self._values)}"
            raise NoParameter(f"{self._source} gives no parameter {name!r}", hint=hint)
        return self._values[name]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # copy and pickle look for these before there are any values
            raise AttributeError(name)
        return self[name]

    def __contains__(self, name: object) -> bool:
        return name in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


@dataclass
class Run:
    """One attempt at training, or a stand-alone start of its page."""

    folder: Path
    """metrics.jsonl, artifacts.json and train_summary.json are written here."""
    params: Params
    output_dir: Path
    cache_dir: Path
    """Kept between runs of a workspace; what lies in it may vanish."""
    seed: int = 42
    base_model: str | None = None
    seed_artifact: str | None = None
    """Folder of weights to start from where `init_from` is not `base`: full weights or an adapter."""
    init_from: str = "base"
    system_prompt: str = ""
    chat_template: str | None = None
    experiment: str = ""
    attempt: int = 0
    datasets: Mapping[str, str] = field(default_factory=dict)
    rewards: Sequence[Mapping[str, Any]] = ()
    """The terms of recipe.yaml's `rewards`, their paths resolved: `evo.recipe.rewards` makes functions of them."""
    scorer: Mapping[str, Any] | None = None
    """What the model is measured by, for rewards that say `scorer: workspace`."""
    server: Mapping[str, Any] | None = None
    """The warm inference server that may draw answers: `evo.recipe.sampling` asks it."""
    mid: Mid | None = None
    """When to write checkpoints and have them scored; None: this run is not evaluated on the way."""
    is_smoke: bool = False
    """A trial on about ten examples: a handful of steps are enough."""
    fidelity: float | None = None
    """Share of the steps to train in this partial run; None: all of them."""
    has_evaluator: bool = False
    """Somebody answers `mid_eval`: not so where the page was started by hand."""
    is_main: bool = field(default_factory=lambda: os.environ.get("RANK", "0") == "0")
    """False on the other ranks of a multi-process launch, where `log` and `finish` write nothing."""

    def __post_init__(self) -> None:
        self._started = time.monotonic()
        self._metrics: int | None = None
        self._last: dict[str, Any] = {}

    def data(self, role: str) -> Path:
        """The JSONL file of a data role of recipe.yaml, resolved and leak-checked."""
        if role not in self.datasets:
            hint = f"add sources under `data: {{{role}: …}}` in recipe.yaml; {nearest(role, self.datasets)}"
            raise NotFound(f"this run has no data named {role!r}", hint=hint)
        return Path(self.datasets[role])

    def rows(self, role: str) -> Iterator[dict[str, Any]]:
        """The rows of `data(role)`, read as they are asked for."""
        path = self.data(role)
        with path.open(encoding="utf-8") as file:
            for line, text in enumerate(file, start=1):
                if not text.strip():
                    continue
                try:
                    row = json.loads(text)
                except json.JSONDecodeError as error:
                    raise FileFormatError(path, f"is not JSON: {error.msg}", line=line) from None
                if not isinstance(row, dict):
                    raise FileFormatError(path, "must be a JSON object", line=line)
                yield row

    def log(self, *, step: int, **values: Any) -> None:
        """Append one line to metrics.jsonl: numbers (of any library), text, booleans, None; NaN, infinities as null."""
        if not self.is_main:
            return
        self._last = {"step": int(step)} | {name: _plain(name, value) for name, value in values.items()}
        line = json.dumps({"at": now(), **self._last}, ensure_ascii=False, allow_nan=False) + "\n"
        if self._metrics is None:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            self._metrics = os.open(self.folder / "metrics.jsonl", flags, 0o644)
        os.write(self._metrics, line.encode())

    def mid_eval(self, model_dir: str | Path, *, step: int) -> MidScore | None:
        """Score the weights in `model_dir` on the mid slice, as dev will be, and wait for it; a barrier of all ranks.

        None where this run is not evaluated on the way, or where that has broken (the log says why).
        """
        if self.mid is None or not self.has_evaluator:
            return None
        return checkpoints.ask(self.folder, Path(model_dir).absolute(), step=step, writes=self.is_main)

    @property
    def mid_scores(self) -> list[MidScore]:
        """The mid-evaluations of this run so far, also those before it was resumed, by step."""
        return checkpoints.scores(self.folder)

    @property
    def should_stop(self) -> bool:
        """Somebody wants training to end now, and its best checkpoint to be the output (`evo stop`)."""
        return (self.folder / "stop").exists()

    @property
    def checkpoint_dir(self) -> Path:
        """Where `checkpoint-STEP` folders belong, each with an empty file `complete` written last."""
        folder = self.folder / checkpoints.CHECKPOINTS
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @property
    def resume_from(self) -> Path | None:
        """The newest complete checkpoint that an earlier start of this run has left."""
        return checkpoints.newest_complete(self.folder / checkpoints.CHECKPOINTS)

    def finish(self, model_dir: str | Path, artifacts: Mapping[str, str | Path] | None = None) -> None:
        """Declare `model_dir` to be the output, and files or folders to be artifacts that others may start from.

        `model_dir` becomes the whole content of `output_dir`: moved there when it lies in the run's own folder,
        copied otherwise. NotFound when something is not there.
        """
        if not self.is_main:
            return
        source = Path(model_dir).absolute()
        if not source.is_dir() or not any(source.iterdir()):
            raise NotFound(f"finish: {source} holds no model", hint="save the model there before run.finish(…)")
        named = {label: Path(path).absolute() for label, path in (artifacts or {}).items()}
        for label, path in named.items():
            if not path.exists():
                raise NotFound(f"finish: artifact {label!r} is not at {path}", hint="write it before run.finish(…)")
        if source.resolve() != self.output_dir.resolve():
            _place(source, self.output_dir, move=source.resolve().is_relative_to(self.folder.resolve()))
        for path in self.output_dir.rglob("*"):  # safetensors writes 0600, and a child may train as another user
            if path.is_file() and not path.is_symlink():
                path.chmod(path.stat().st_mode | 0o444)
        moved = {label: path for label, path in named.items() if path.is_relative_to(source)}
        named |= {label: self.output_dir / path.relative_to(source) for label, path in moved.items()}
        write_json(self.folder / "artifacts.json", [_artifact(label, path) for label, path in named.items()])
        seconds = round(time.monotonic() - self._started, 3)
        write_json(self.folder / "train_summary.json", {"seconds": seconds, "finished_at": now(), "last": self._last})


def current(argv: Sequence[str] | None = None) -> Run:
    """The run that this process is part of: EVO_JOB's, or the one that `--params FILE --out DIR` describes.

    FILE is JSON: `{"params": {…}, "data": {"train": PATH}, "base_model": …, "seed": …}`; its relative paths count from
    its own folder.
    """
    if folder := os.environ.get("EVO_JOB"):
        return _of_job(Path(folder))
    parser = argparse.ArgumentParser(description="Under `evo run` a page needs no options; without it, these two.")
    parser.add_argument("--params", type=Path, required=True, metavar="FILE", help="JSON: params, data, base_model, …")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="metrics, and the model under output/")
    options = parser.parse_args(sys.argv[1:] if argv is None else argv)
    return _alone(options.params.absolute(), options.out.absolute())


def _of_job(folder: Path) -> Run:
    path = folder / "job.json"
    job = read_json(path)
    facts = job.get("run") if isinstance(job, dict) else None
    if not isinstance(facts, dict) or job.get("schema") != _SCHEMA:
        hint = "EVO_JOB must name the folder of an attempt that this version of evo wrote"
        raise FileFormatError(path, f"is no {_SCHEMA} document", hint=hint)
    return _run(folder, {**facts, "has_evaluator": job.get("mid") is not None}, str(path))


def _alone(path: Path, out: Path) -> Run:
    facts = read_json(path)
    if not isinstance(facts, dict):
        raise FileFormatError(path, "must be a JSON object")
    for name in facts:
        if name not in _FIELDS:
            raise FileFormatError(path, "unknown key", field=name, hint=nearest(name, _FIELDS))
    data = {role: str(path.parent / str(value)) for role, value in facts.get("data", {}).items()}
    for name in ("base_model", "seed_artifact"):
        beside = path.parent / str(facts.get(name) or "")
        if facts.get(name) and beside.exists():  # else it is an id of the hub
            facts[name] = str(beside)
    facts["rewards"] = [_beside(path.parent, term) for term in facts.get("rewards", [])]
    facts["scorer"] = _beside(path.parent, facts.get("scorer") or {}) or None
    folders = {"output_dir": str(out / "output"), "cache_dir": str(out / "cache")}
    for folder in (out, *map(Path, folders.values())):
        folder.mkdir(parents=True, exist_ok=True)
    run = _run(out, {**facts, "data": data, **folders}, str(path))
    if run.is_main and (resumed := run.resume_from) is not None:
        checkpoints.forget_after(out, checkpoints.step_of(resumed))
    return run


def _beside(base: Path, facts: Mapping[str, Any]) -> dict[str, Any]:
    """A reward term, or the scorer, with relative paths that count from `base`."""
    paths = {key: str(base / str(facts[key])) for key in ("file", "model", "pinned_dir") if facts.get(key)}
    return {**facts, **paths}


def _run(folder: Path, facts: Mapping[str, Any], source: str) -> Run:
    known = {name: facts[name] for name in (*_FIELDS, "experiment", "attempt", "has_evaluator") if name in facts}
    known["mid"] = Mid(**facts["mid"]) if facts.get("mid") else None
    known |= {"params": Params(known.get("params", {}), source), "datasets": known.pop("data", {})}
    return Run(folder=folder, output_dir=Path(facts["output_dir"]), cache_dir=Path(facts["cache_dir"]), **known)


def _plain(name: str, value: Any) -> Any:
    if not isinstance(value, (int, float, str, bool, type(None))) and callable(getattr(value, "item", None)):
        value = value.item()  # a number of numpy or torch
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, (int, str, type(None))):
        return value
    raise UsageError(f"run.log: {name} is a {type(value).__name__}", hint="log numbers, text, booleans or None")


def _artifact(label: str, path: Path) -> dict[str, str]:
    kind, key = ("folder", sha256_folder(path)) if path.is_dir() else ("file", sha256_file(path))
    return {"label": label, "kind": kind, "uri": str(path), "content_key": key}


def _place(source: Path, target: Path, *, move: bool) -> None:
    """Make `source` the whole content of `target`, which stays the same folder (it may be a mount)."""
    draft = target.with_name(f".{target.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    if move:
        shutil.move(source, draft)
    else:
        shutil.copytree(source, draft)
    target.mkdir(parents=True, exist_ok=True)
    for old in target.iterdir():
        shutil.rmtree(old) if old.is_dir() and not old.is_symlink() else old.unlink()
    for new in draft.iterdir():
        shutil.move(new, target / new.name)
    draft.rmdir()
