"""Backend `command`: a workspace's own program grades the weights and evo checks what it says.

    <command> --model DIR --items ITEMS.jsonl --out RESULTS.jsonl

It runs in a fresh folder that holds the pinned copies of the evaluation's files, with an environment of ordinary
variables only. Invariant: each line of RESULTS.jsonl is `{"id", "score", "output"?}`, one for each item, with a finite
score in range; a violation is named by its line, and a command that fails is an error, never a zero.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from evo.domain.item import Item, ItemResult
from evo.domain.job import EvalJob
from evo.errors import RunFailed, UsageError
from evo.evaluate.generation import generation_of
from evo.evaluate.grading import SEALED, Grader, InvalidResults, Names
from evo.files import sha256_file

PASSED = (
    "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "VIRTUAL_ENV",
    "XDG_CACHE_HOME", "HF_HOME", "HF_HUB_OFFLINE", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "TOKENIZERS_PARALLELISM",
)  # fmt: skip
PASSED_FAMILIES = ("LC_", "CUDA_", "NVIDIA_", "ROCR_", "HIP_")
PYTHONS = ("python", "python3")


class CommandBackend:
    """Called once for each sample, with `EVO_SAMPLE_SEED` = seed + sample in its environment."""

    def __init__(self, job: EvalJob) -> None:
        self._job = job
        self._argv = command_line(job.command)

    def results(self, items: Sequence[Item], model: Path | None = None) -> Iterator[ItemResult]:
        generation = generation_of(self._job.generation)
        grader = Grader(self._job, items)
        work = Path(self._job.out_dir) / "work"
        shutil.rmtree(work, ignore_errors=True)  # of an evaluation that was killed
        try:
            for sample in range(generation.samples):
                answers = self._call(work / str(sample), items, model, seed=generation.seed + sample)
                yield from self._read(answers, items, grader=grader, sample=sample)
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def _call(self, folder: Path, items: Sequence[Item], model: Path | None, *, seed: int) -> Path:
        """Run the command in `folder`; the path of its results. RunFailed where it fails."""
        place = folder / "files"
        folder.mkdir(parents=True)
        if self._job.pins is not None:
            _copy_pinned(Path(self._job.pinned_dir), place, self._job.pins)
        elif self._job.pinned_dir:
            _copy_writable(Path(self._job.pinned_dir), place)
        else:
            place.mkdir()
        answers = folder / "RESULTS.jsonl"
        asked = folder / "ITEMS.jsonl"
        rows = (json.dumps({**item.row, "id": item.id}, ensure_ascii=False) + "\n" for item in items)
        asked.write_text("".join(rows), encoding="utf-8")
        weights = self._job.model if model is None else str(model)
        argv = [*self._argv, "--model", weights, "--items", str(asked), "--out", str(answers)]
        environment = command_environment(os.environ, seed=seed)
        try:
            ended = subprocess.run(
                argv, cwd=place, env=environment, stdin=subprocess.DEVNULL, stdout=sys.stderr, check=False
            )
        except OSError as error:
            problem = f"the evaluation command cannot be started: {self._argv[0]}: {error.strerror}"
            raise RunFailed(problem, hint="check eval.command and eval.files") from None
        if ended.returncode:
            how = f"signal {-ended.returncode}" if ended.returncode < 0 else f"exit code {ended.returncode}"
            raise RunFailed(f"the evaluation command failed with {how}: {self._job.command}")
        return answers

    def _read(self, answers: Path, items: Sequence[Item], *, grader: Grader, sample: int) -> Iterator[ItemResult]:
        names = Names(self._job, items)
        known = {item.id for item in items}
        seen: dict[str, int] = {}
        for line, text in _lines(answers, self._job.command):
            here = f"results of `{self._job.command}`, line {line}"
            row = _row(text, here=here, names=names)
            item = _item_of(row, here=here, known=known, is_sealed=self._job.split in SEALED)
            if item in seen:
                raise InvalidResults(f"{here}: the {names(item)} was graded in line {seen[item]} already")
            seen[item] = line
            output = _output_of(row, here=here)
            try:
                result = grader.result(item, sample, row["score"], output)
            except InvalidResults as error:
                raise InvalidResults(f"{here}: {error}") from None
            yield result
        missing = [item.id for item in items if item.id not in seen]
        if missing:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise InvalidResults(f"results of `{self._job.command}`: no line for the {names(missing[0])}{more}")


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


def _lines(answers: Path, command: str) -> Iterator[tuple[int, bytes]]:
    """The numbered lines that are not blank."""
    try:
        data = answers.read_bytes()
    except FileNotFoundError:
        raise InvalidResults(f"`{command}` ended well, but wrote no results") from None
    yield from ((number, text) for number, text in enumerate(data.split(b"\n"), start=1) if text.strip())


def _row(text: bytes, *, here: str, names: Names) -> dict[str, object]:
    try:
        row = json.loads(text.decode())
    except (ValueError, RecursionError):
        raise InvalidResults(f"{here}: is not JSON{names.quoted(repr(text))}") from None
    if not isinstance(row, dict):
        raise InvalidResults(f"{here}: must be an object with id and score{names.quoted(repr(row))}")
    for key in ("id", "score"):
        if key not in row:
            raise InvalidResults(f"{here}: has no {key}{names.quoted(repr(row))}")
    return row


def _output_of(row: Mapping[str, object], *, here: str) -> str | None:
    output = row.get("output")
    if output is not None and not isinstance(output, str):
        raise InvalidResults(f"{here}: output must be a string, not {type(output).__name__}")
    if output is not None and not output.isascii() and any("\ud800" <= sign <= "\udfff" for sign in output):
        raise InvalidResults(f"{here}: output holds half a surrogate pair, which is no character")
    return output


def _item_of(row: Mapping[str, object], *, here: str, known: set[str], is_sealed: bool) -> str:
    found = row["id"]
    item = str(found) if isinstance(found, int) and not isinstance(found, bool) else found
    if not isinstance(item, str):
        raise InvalidResults(f"{here}: id must be a string, not {type(found).__name__}")
    if item not in known:
        raise InvalidResults(f"{here}: unknown id" + ("" if is_sealed else f" {item!r}"))
    return item
