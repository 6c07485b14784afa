"""Backend `command`: a workspace's own program grades the weights and evo checks what it says.

    <command> --model DIR --items ITEMS.jsonl --out RESULTS.jsonl

A command that holds a placeholder is called as it stands, with nothing appended: `{model}`, `{items}`, `{out}`,
`{logs}` (a folder, also in EVO_LOG_DIR), `{ids}` (the items' ids, commas between). It runs in a fresh folder that holds
the pinned copies of the evaluation's files, with an environment of ordinary variables only. What it leaves is taken by
the reader that `eval.read` names: its own RESULTS.jsonl, or the log of a benchmark tool, of which the items that were
asked for are taken. With `eval.mode: scalar` an item is one call, and its score the one number that the call wrote.
Invariant: one finite score in range for each item; a violation is named by its place, and a command that fails is an
error, never a zero.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import cast

from evo.domain.item import Item, ItemResult, checked_score
from evo.domain.job import EvalJob
from evo.errors import RunFailed, UsageError
from evo.evaluate.generation import generation_of
from evo.evaluate.grading import SEALED, Grader, InvalidResults, Names
from evo.evaluate.readers.base import Left, Reader
from evo.evaluate.readers.scalar import read_number
from evo.files import sha256_file
from evo.registry import load

PASSED = (
    "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "VIRTUAL_ENV",
    "XDG_CACHE_HOME", "HF_HOME", "HF_HUB_OFFLINE", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "TOKENIZERS_PARALLELISM",
)  # fmt: skip
PASSED_FAMILIES = ("LC_", "CUDA_", "NVIDIA_", "ROCR_", "HIP_")
PYTHONS = ("python", "python3")
PLACEHOLDER = re.compile(r"(?<!\$)\{(model|items|out|logs|ids)\}")
RESULTS, NUMBER = "RESULTS.jsonl", "RESULT.json"
_LAST, _LONGEST = 4096, 300
"""Bytes of the log's end that are read for its last line, and characters of that line that are quoted."""


class CommandBackend:
    """Called once for each sample, with `EVO_SAMPLE_SEED` = seed + sample in its environment; with `is_scalar` once for
    each item and sample, every call with a seed of its own."""

    def __init__(self, job: EvalJob) -> None:
        self._job = job
        self._argv = command_line(job.command)
        self._model = job.model

    def results(self, items: Sequence[Item], model: Path | None = None) -> Iterator[ItemResult]:
        self._model = self._job.model if model is None else str(model)
        generation = generation_of(self._job.generation)
        grader = Grader(self._job, items)
        work = Path(self._job.out_dir) / "work"
        shutil.rmtree(work, ignore_errors=True)  # of an evaluation that was killed
        try:
            for sample in range(generation.samples):
                if self._job.is_scalar:
                    yield from self._numbers(work, items, sample=sample)
                    continue
                left = self._call(work / str(sample), items, seed=generation.seed + sample)
                yield from self._read(left, items, grader=grader, sample=sample)
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def beside(self, job: EvalJob) -> CommandBackend:
        return CommandBackend(job)

    def _call(self, folder: Path, items: Sequence[Item], *, seed: int) -> Left:
        """Run the command in `folder`; where its results lie. RunFailed where it fails."""
        place = folder / "files"
        folder.mkdir(parents=True)
        if self._job.pins is not None:
            _copy_pinned(Path(self._job.pinned_dir), place, self._job.pins)
        elif self._job.pinned_dir:
            _copy_writable(Path(self._job.pinned_dir), place)
        else:
            place.mkdir()
        left = Left(folder / (NUMBER if self._job.is_scalar else RESULTS), folder / "logs")
        left.logs.mkdir()
        asked = folder / "ITEMS.jsonl"
        rows = (json.dumps({**item.row, "id": item.id}, ensure_ascii=False) + "\n" for item in items)
        asked.write_text("".join(rows), encoding="utf-8")
        words = {"model": self._model, "items": str(asked), "out": str(left.answers), "logs": str(left.logs)}
        words["ids"] = ",".join(item.id for item in items)
        environment = command_environment(os.environ, seed=seed) | log_variables(self._job, folder)
        argv = filled(self._argv, words)
        log, before = sys.stderr.fileno(), os.fstat(sys.stderr.fileno()).st_size
        try:
            ended = subprocess.run(
                argv, cwd=place, env=environment, stdin=subprocess.DEVNULL, stdout=sys.stderr, check=False
            )
        except OSError as error:
            problem = f"the evaluation command cannot be started: {self._argv[0]}: {error.strerror}"
            raise RunFailed(problem, hint="check eval.command and eval.files") from None
        if ended.returncode:
            how = f"signal {-ended.returncode}" if ended.returncode < 0 else f"exit code {ended.returncode}"
            said = last_line(log, since=before) if self._job.keep_output else ""  # which may quote an item
            more = f": {said}" if said else ""
            raise RunFailed(f"the evaluation command failed with {how}: {self._job.command}{more}")
        return left

    def _read(self, left: Left, items: Sequence[Item], *, grader: Grader, sample: int) -> Iterator[ItemResult]:
        names = Names(self._job, items)
        known = {item.id for item in items}
        seen: dict[str, str] = {}
        for answer in cast(Reader, load("reader", self._job.read))(left, self._job):
            if answer.item not in known:
                if self._job.read != "results":
                    continue  # a tool answers its whole benchmark, and this split is a part of it
                quoted = "" if self._job.split in SEALED else f" {answer.item!r}"
                raise InvalidResults(f"{answer.where}: unknown id{quoted}")
            if answer.item in seen:
                place = seen[answer.item].rpartition(", ")[2]
                raise InvalidResults(f"{answer.where}: the {names(answer.item)} was graded in {place} already")
            seen[answer.item] = answer.where
            try:
                result = grader.result(answer.item, sample, answer.score, answer.output)
            except InvalidResults as error:
                raise InvalidResults(f"{answer.where}: {error}") from None
            yield result
        missing = [item.id for item in items if item.id not in seen]
        if missing:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise InvalidResults(f"results of `{self._job.command}`: no line for the {names(missing[0])}{more}")

    def _numbers(self, work: Path, items: Sequence[Item], *, sample: int) -> Iterator[ItemResult]:
        """A call for each item, which stands for one repeat of the benchmark."""
        seed = generation_of(self._job.generation).seed + sample * len(items)
        for number, item in enumerate(items):
            left = self._call(work / f"{sample}-{number}", [item], seed=seed + number)
            where, value = read_number(left.answers, self._job.metric)
            try:
                score = checked_score(value, low=self._job.low, high=self._job.high)
            except (ValueError, OverflowError) as error:
                raise InvalidResults(f"{where}: {error} (call {number + 1} of {len(items)})") from None
            yield ItemResult(item.id, sample, score, output_hash="")


def last_line(log: int, *, since: int) -> str:
    """The last line that was written to the open file `log` from that byte on; empty where it is no file on disk."""
    seen = os.fstat(log)
    if not stat.S_ISREG(seen.st_mode):
        return ""
    try:
        with open(f"/proc/self/fd/{log}", "rb") as file:
            file.seek(max(since, seen.st_size - _LAST))
            lines = file.read().decode("utf-8", "replace").strip().splitlines()
    except OSError:
        return ""
    return lines[-1].strip()[:_LONGEST] if lines else ""


def filled(argv: Sequence[str], words: Mapping[str, str]) -> list[str]:
    """`argv` with its placeholders replaced; where it has none, with --model, --items and --out appended."""
    if not any(PLACEHOLDER.search(word) for word in argv):
        return [*argv, "--model", words["model"], "--items", words["items"], "--out", words["out"]]
    return [PLACEHOLDER.sub(lambda found: words[found[1]], word) for word in argv]


def log_variables(job: EvalJob, folder: Path) -> dict[str, str]:
    """Where a benchmark tool writes its log. What tools besides keep of the items goes with the folder: inspect's
    samples among the user's data, and the copy of {items} in the cache that lm-eval reads them through."""
    logs, data = str(folder / "logs"), str(folder / "data")
    found = {"EVO_LOG_DIR": logs, "INSPECT_LOG_DIR": logs, "INSPECT_LOG_FORMAT": "json"}
    if job.read == "inspect":
        found["XDG_DATA_HOME"] = data
    if job.read == "lm-eval" and "{items}" in job.command:
        found["HF_DATASETS_CACHE"] = data
    return found


def command_line(command: str) -> list[str]:
    """`command` split as a shell would; `python` is this interpreter. UsageError where there is nothing to run."""
    try:
        argv = shlex.split(command)
    except ValueError as error:
        raise UsageError(f"eval.command {command!r} cannot be split: {error}") from None
    if not argv:
        raise UsageError("eval.backend is command, and eval.command is empty")
    return [sys.executable, *argv[1:]] if argv[0] in PYTHONS else argv


def command_environment(environment: Mapping[str, str], *, seed: int) -> dict[str, str]:
    """What the command may see: ordinary variables and accelerators. No keys, no PYTHONPATH, nothing of a run.

    EVO_EVALUATION is the mark by which it is found and ended when this process and its supervisor were killed.
    """
    passed = {name: value for name, value in environment.items() if name in PASSED or name.startswith(PASSED_FAMILIES)}
    path = os.pathsep.join([os.path.dirname(sys.executable), environment.get("PATH", os.defpath)])
    if "EVO_JOB" in environment:
        passed["EVO_EVALUATION"] = environment["EVO_JOB"]
    return passed | {"PATH": path, "PYTHONDONTWRITEBYTECODE": "1", "EVO_SAMPLE_SEED": str(seed)}


def _copy_pinned(source: Path, place: Path, pins: Mapping[str, str]) -> None:
    """Copy the named files and nothing else, each as it was pinned. RunFailed when one was changed."""
    place.mkdir()
    for name, digest in pins.items():
        copy = place / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        if (source / name).is_file():
            shutil.copyfile(source / name, copy)
        if not copy.is_file() or sha256_file(copy) != digest:
            raise RunFailed(f"{source / name} is not what was pinned", hint=f"remove {source}: evo copies it again")


def _copy_writable(source: Path, place: Path) -> None:
    """Pinned folders are read-only; a command may write beside its copies, and the copies must be removable."""
    shutil.copytree(source, place)
    for folder, _, names in os.walk(place):
        os.chmod(folder, 0o700)
        for name in names:
            path = os.path.join(folder, name)
            os.chmod(path, os.stat(path).st_mode | 0o600)
