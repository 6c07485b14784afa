"""One evaluation as a process: an EvalJob in, `results.jsonl` and `summary.json` out.

Invariant: `summary.json` is written last, so where it lies the results are whole, and belong to this job. Exit codes:
0 done; 3 the results are invalid; 1 anything else. The last line on standard error says `evo: …`; a bug keeps its
traceback before it. With the `command` backend nothing beyond the standard library is imported.
"""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from evo.domain.item import Item, ItemError, ItemResult, parse_item
from evo.domain.job import EvalJob, EvalSummary, MidPart
from evo.errors import EvoError, FileFormatError, NotFound, RunFailed, UsageError
from evo.evaluate.engine import engine_of
from evo.evaluate.generation import generation_of
from evo.evaluate.grading import SEALED, InvalidResults, Names
from evo.evaluate.progress import with_progress
from evo.evaluate.weights import strays, weights_hash
from evo.files import read_json, sha256_file, write_json, write_text
from evo.lightdata import fields, replace
from evo.registry import load
from evo.validation import plain, restore

if TYPE_CHECKING:
    from evo.evaluate.backends.base import Backend

INVALID = 3
OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "TOKENIZERS_PARALLELISM": "false",
}


def main(argv: list[str]) -> int:
    if len(argv) != 1:
        return _end("usage: python -m evo.evaluate EVALJOB.json", 1)
    return as_process(lambda: evaluate(restore(EvalJob, read_json(Path(argv[0])))))


def as_process(work: Callable[[], object]) -> int:
    """Do the process's whole work, offline; its exit code."""
    sys.excepthook = _report_bug
    os.environ.update(OFFLINE)
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    try:
        work()
    except EvoError as error:
        code = INVALID if isinstance(error, InvalidResults) else 1
        return _end(f"{error.message} ({error.hint})" if error.hint else error.message, code)
    return 0


def evaluate(job: EvalJob) -> EvalSummary:
    """Answer, grade and write. EvoError for what a user can mend; InvalidResults among them."""
    began = time.perf_counter()
    out = Path(job.out_dir)
    out.mkdir(parents=True, exist_ok=True)
    (out / "summary.json").unlink(missing_ok=True)
    items = pinned_rows(job)
    if not Path(job.model).is_dir():
        raise NotFound(f"the folder of weights {job.model} does not exist")
    weights = own_weights(job)
    samples = generation_of(job.generation).samples
    backend: Backend = load("backend", job.backend)(job)
    if job.mid is not None:
        score_beside(job, job.mid, backend, weights=weights)
    found = backend.results(items)
    results = complete(with_progress(found, len(items) * samples), items, samples=samples, names=Names(job, items))
    seconds = time.perf_counter() - began
    for suite in job.suites:
        score_suite(suite, backend if suite.backend == job.backend else None, weights=weights)
    return write_results(job, results, weights=weights, seconds=seconds)


def write_results(job: EvalJob, results: Sequence[ItemResult], *, weights: str, seconds: float) -> EvalSummary:
    out, mode = Path(job.out_dir), 0o644 if job.keep_output else 0o600
    write_text(out / "results.jsonl", "".join(map(result_line, results)), mode=mode)
    summary = EvalSummary(
        eval_hash=job.eval_hash,
        split=job.split,
        n=len(results),
        weights_hash=weights,
        seconds=round(seconds, 3),
        engine=engine_of(job.backend, server_python=job.server.python if job.server else ""),
    )
    write_json(out / "summary.json", plain(summary), mode=mode)
    return summary


def score_suite(job: EvalJob, warm: Backend | None, *, weights: str) -> None:
    """Results and summary of a further suite, by the engine that is warm where that is of the same kind.

    It is no part of the score: where it cannot be had, the log says why and no summary is left.
    """
    began = time.perf_counter()
    out = Path(job.out_dir)
    out.mkdir(parents=True, exist_ok=True, mode=0o755 if job.keep_output else 0o700)
    (out / "summary.json").unlink(missing_ok=True)
    try:
        items = pinned_rows(job)
        backend: Backend = warm.beside(job) if warm is not None else load("backend", job.backend)(job)
        samples = generation_of(job.generation).samples
        rows = complete(backend.results(items), items, samples=samples, names=Names(job, items))
        write_results(job, rows, weights=weights, seconds=time.perf_counter() - began)
    except (EvoError, ValueError, TypeError, OSError, RuntimeError, LookupError) as error:
        sys.stderr.write(f"the suite {out.name} was not scored: {error}\n")


def own_weights(job: EvalJob) -> str:
    """Hash of the weights. InvalidResults where they are not the run's own; what was found is written down first."""
    folder, path = Path(job.model), Path(job.out_dir) / "identity.json"
    path.unlink(missing_ok=True)
    if job.lineage is None or (job.lineage.base is None and not strays(folder)):
        return weights_hash(folder)
    identity = import_module("evo.evaluate.identity")  # which a workspace without a base model does not pay
    found = identity.check(folder, job.lineage)
    said = {"findings": plain(found.findings), "delta": found.delta, "is_unchanged": found.is_unchanged}
    write_json(path, said, mode=0o600)
    if found.refusals:
        raise InvalidResults(found.refusals[0].message)
    return str(found.weights_hash)


def score_beside(job: EvalJob, part: MidPart, backend: Backend, *, weights: str) -> None:
    """`mid.jsonl` in the job's folder: what a mid-evaluation of the same weights found, or found now.

    It is no part of the score: where it cannot be had, the log says why and the evaluation goes on without.
    """
    path = Path(job.out_dir) / "mid.jsonl"
    path.unlink(missing_ok=True)
    try:
        rows = _answered(Path(part.answers), weights)
        if rows is None:
            slice_ = replace(job, split="mid", items=part.items, items_sha256=part.items_sha256)
            items = pinned_rows(slice_)
            samples = generation_of(job.generation).samples
            rows = complete(backend.results(items), items, samples=samples, names=Names(slice_, items))
        write_text(path, "".join(map(result_line, rows)))
    except (EvoError, ValueError, TypeError) as error:
        sys.stderr.write(f"the mid slice was not scored: {error}\n")


def _answered(folder: Path, weights: str) -> list[ItemResult] | None:
    """The results of a mid-evaluation of these weights, if there was one."""
    for path in sorted(folder.glob("[0-9]*.json")):
        if path.stem.isdecimal() and read_json(path).get("weights_hash") == weights:
            lines = path.with_suffix(".jsonl").read_text(encoding="utf-8").splitlines()
            known = {item.name for item in fields(ItemResult)}
            rows = (json.loads(line) for line in lines)
            return [ItemResult(**{name: value for name, value in row.items() if name in known}) for row in rows]
    return None


def pinned_rows(job: EvalJob) -> list[Item]:
    """The items of `job`, which are those that were pinned."""
    items = read_items(Path(job.items), is_sealed=job.split in SEALED)
    if job.items_sha256 and sha256_file(Path(job.items)) != job.items_sha256:
        raise RunFailed(f"{job.items} is not what was pinned", hint="remove it: evo writes it again")
    return items


def read_items(path: Path, *, is_sealed: bool) -> list[Item]:
    """The items of a JSONL file, ids unique. FileFormatError names line and field; sealed text is not quoted."""
    try:
        lines = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    except FileNotFoundError:
        raise NotFound(f"{path} does not exist") from None
    if lines == [""]:
        raise UsageError(f"{path} holds no items")
    items: dict[str, Item] = {}
    for number, line in enumerate(lines, start=1):
        try:
            item = parse_item(json.loads(line), needs_target=False)
        except ItemError as error:
            raise FileFormatError(path, str(error), line=number, field=error.field) from None
        except json.JSONDecodeError as error:
            raise FileFormatError(path, f"is not JSON: {error.msg}", line=number) from None
        if item.id in items:
            raise FileFormatError(path, "double id" + ("" if is_sealed else f" {item.id!r}"), line=number, field="id")
        items[item.id] = item
    return list(items.values())


def complete(results: Iterable[ItemResult], items: Sequence[Item], *, samples: int, names: Names) -> list[ItemResult]:
    """`results` in the order of `items`, one for each item and sample. InvalidResults names what does not fit."""
    found: dict[tuple[str, int], ItemResult] = {}
    wanted = [(item.id, sample) for item in items for sample in range(samples)]
    legal = set(wanted)
    for result in results:
        key = (result.item, result.sample)
        if key not in legal:
            raise InvalidResults(f"the backend gave a result for no item of the job, or for sample {result.sample}")
        if key in found:
            raise InvalidResults(f"the backend gave two results for the {names(result.item)}, sample {result.sample}")
        found[key] = result
    for item, sample in wanted:
        if (item, sample) not in found:
            raise InvalidResults(f"the backend gave no result for the {names(item)}, sample {sample}")
    return [found[key] for key in wanted]


def result_line(result: ItemResult) -> str:
    """ASCII, so that no character of an output ends a line for any reader."""
    row = plain(result)
    if result.output is None:
        del row["output"]
    if not result.is_cut_off:
        del row["is_cut_off"]
    return json.dumps(row, allow_nan=False) + "\n"


def _end(message: str, code: int) -> int:
    sys.stderr.write("evo: " + " ".join(message.split()) + "\n")
    return code


def _report_bug(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    sys.__excepthook__(kind, error, trace)
    _end(f"the evaluation broke: {kind.__name__}: {error}", 1)
