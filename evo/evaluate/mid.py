"""The mid-evaluator: `python -m evo.evaluate --mid FOLDER SHA256`, one process that stays warm for a whole run.

It answers every `FOLDER/mid/NNNNNN.want.json` with `NNNNNN.json`, the graded items beside it, until it is ended.
SHA256 is that of `FOLDER/mid/job.json`, which lies within reach of the training: another job is refused.
Invariant: the items file is written before the answer, so an answer's items are whole; a checkpoint that cannot be
scored ends the process with the reason as the last line of its log, and never becomes a number.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from evo.domain.item import Item, ItemResult
from evo.domain.job import AttemptFolder, EvalJob, MidAnswer
from evo.domain.score import per_item
from evo.errors import NotFound, RunFailed, UsageError
from evo.evaluate.backends.base import Backend
from evo.evaluate.generation import generation_of
from evo.evaluate.grading import Names
from evo.evaluate.process import as_process, complete, pinned_rows
from evo.evaluate.weights import weights_hash
from evo.files import read_json, sha256_file, write_json, write_text
from evo.gate.statistics import RunNoise, paired, score_error, standard_error
from evo.lightdata import replace
from evo.registry import load
from evo.validation import plain, restore

PAUSE_S = 0.05
REGRESSED_AT = 2.0
"""Standard errors below the parent."""
_NO_RUN_NOISE = RunNoise(0.0, 1, 1)


class MidEvaluator:
    """Answers the questions in one attempt's folder."""

    def __init__(self, folder: Path, digest: str) -> None:
        paths = AttemptFolder(folder)
        if sha256_file(paths.mid_job) != digest:
            raise RunFailed(f"{paths.mid_job} is not what evo wrote")
        self._folder = paths.mid_dir
        self._job = restore(EvalJob, read_json(paths.mid_job))
        self._items = pinned_rows(self._job)
        self._backend: Backend = load("backend", self._job.backend)(self._job)
        self._best = self._best_so_far()

    def answer_all(self) -> None:
        """Every question that has no answer yet, by step."""
        for path in sorted(self._folder.glob("[0-9]*.want.json")):
            step = path.name.partition(".")[0]
            if step.isdecimal() and not (self._folder / f"{step}.json").exists():
                self._answer(step, Path(str(read_json(path)["model"])))

    def _answer(self, step: str, model: Path) -> None:
        if not model.is_dir():
            raise NotFound(f"the folder of weights {model} does not exist")
        began = time.perf_counter()
        samples = generation_of(self._job.generation).samples
        found = self._backend.results(self._items, model)
        results = complete(found, self._items, samples=samples, names=Names(self._job, self._items))
        answer = judged(results, self._job, step=int(step), best=self._best)
        if answer.is_best:
            self._best = answer.mean
            answer = replace(answer, weights_hash=weights_hash(model))
        write_text(self._folder / f"{step}.jsonl", "".join(_lines(results, self._items)))
        seconds = round(time.perf_counter() - began, 3)
        write_json(self._folder / f"{step}.json", plain(replace(answer, seconds=seconds)))

    def _best_so_far(self) -> float | None:
        """Of an earlier process of this run."""
        answers = [path for path in self._folder.glob("[0-9]*.json") if path.stem.isdecimal()]
        means = [float(read_json(path)["mean"]) for path in answers]
        return max(means, key=lambda mean: _signed(mean, self._job), default=None)


def judged(results: Sequence[ItemResult], job: EvalJob, *, step: int, best: float | None) -> MidAnswer:
    """What the results say of a checkpoint, beside the best so far and beside the parent. `seconds` is left open."""
    means = per_item(results)
    mean = math.fsum(means.values()) / len(means)
    answer = MidAnswer(
        step=step,
        mean=mean,
        se=score_error(list(means.values())),
        n=len(means),
        seconds=0.0,
        is_best=best is None or _signed(mean, job) > _signed(best, job),
    )
    return _beside_parent(answer, means, job)


def _beside_parent(answer: MidAnswer, means: Mapping[str, float], job: EvalJob) -> MidAnswer:
    """With the paired difference over the items that both have."""
    common = [item for item in means if item in job.reference]
    if not common:
        return answer
    pair = paired([means[item] for item in common], [job.reference[item] for item in common])
    error = standard_error(pair, _NO_RUN_NOISE)
    is_regressed = _signed(pair.mean, job) < -REGRESSED_AT * error
    return replace(answer, delta=pair.mean, delta_se=error, is_regressed=is_regressed)


def _signed(value: float, job: EvalJob) -> float:
    """More is better."""
    return value if job.direction == "max" else -value


def _lines(results: Sequence[ItemResult], items: Sequence[Item]) -> list[str]:
    prompts = {item.id: item.question for item in items}
    rows = (plain(result) | {"prompt": prompts[result.item]} for result in results)
    return [json.dumps(row, allow_nan=False) + "\n" for row in rows]


def serve(folder: Path, digest: str) -> None:
    """Answer until somebody ends this process."""
    evaluator = MidEvaluator(folder, digest)
    while True:
        evaluator.answer_all()
        time.sleep(PAUSE_S)


def main(argv: list[str]) -> int:
    def work() -> None:
        if len(argv) != 3:
            raise UsageError("usage: python -m evo.evaluate --mid FOLDER SHA256")
        serve(Path(argv[1]), argv[2])

    return as_process(work)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
