"""What a reader is: it takes what an evaluation command left behind for answers, one for each item.

Contract. A reader is a function of the places where the command may have written, and of the job; it yields Answers as
they stand there, scores unchecked, each with the words that lead a person to it. Reading costs the standard library
only. What is no log of the tool, what the tool itself calls failed, and a field that is missing are `InvalidResults`
or `RunFailed`, with file and field; nothing of a sealed item is quoted. Who wrote which item twice, or not at all, is
for the caller to find.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

from evo.domain.job import EvalJob
from evo.errors import nearest
from evo.evaluate.grading import SEALED, InvalidResults


class Left(NamedTuple):
    """Where a command was told to write: `answers` (`{out}`) is a file, `logs` (`{logs}`) a folder."""

    answers: Path
    logs: Path


class Answer(NamedTuple):
    """One graded item. `where` is how a message calls it: `RESULTS.jsonl, line 3`."""

    where: str
    item: str
    score: object
    output: str | None = None


class Reader(Protocol):
    def __call__(self, left: Left, job: EvalJob) -> Iterator[Answer]: ...


def is_sealed(job: EvalJob) -> bool:
    return job.split in SEALED


def quoted(job: EvalJob, text: str) -> str:
    """Text of a result for a message; nothing of it where the split is sealed."""
    return "" if is_sealed(job) else f": {text[:200]}"


def name_of(value: object, *, where: str, field: str) -> str:
    """An item's id: text, or a whole number."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise InvalidResults(f"{where}: {field} must be a string, not {type(value).__name__}")
    return value


def text_of(value: object, *, where: str, field: str) -> str | None:
    """An output, where there is one."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise InvalidResults(f"{where}: {field} must be a string, not {type(value).__name__}")
    if not value.isascii() and any("\ud800" <= sign <= "\udfff" for sign in value):
        raise InvalidResults(f"{where}: {field} holds half a surrogate pair, which is no character")
    return value


def parsed(text: bytes, *, where: str, job: EvalJob) -> dict[str, object]:
    """The JSON object that `text` is."""
    try:
        row = json.loads(text.decode())
    except (ValueError, RecursionError):
        raise InvalidResults(f"{where}: is not JSON{quoted(job, repr(text))}") from None
    if not isinstance(row, dict):
        raise InvalidResults(f"{where}: must be an object{quoted(job, repr(row))}")
    return row


def chosen(name: str, known: list[str], *, where: str, what: str) -> str:
    """The one of `known` that metric.name means; the only one there is needs no name."""
    if name in known:
        return name
    if len(known) == 1:
        return known[0]
    said = f"{where}: has {len(known)} {what}, and metric.name is {name!r}" if known else f"{where}: has no {what}"
    raise InvalidResults(said, hint=f"evo config set metric.name NAME; {nearest(name, known)}" if known else "")


def one_log(found: list[Path], *, tool: str, logs: Path) -> Path:
    """The only one of `found`. InvalidResults where there is none, or more than one."""
    if len(found) == 1:
        return found[0]
    if not found:
        hint = "let it write to {logs} of eval.command, or to the folder in EVO_LOG_DIR"
        raise InvalidResults(f"the evaluation command ended well, but left no log of {tool}", hint=hint)
    names = ", ".join(str(path.relative_to(logs)) for path in found[:3])
    raise InvalidResults(f"the evaluation command left {len(found)} logs of {tool}: {names}", hint="one task a command")
