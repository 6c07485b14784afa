"""Reader `results`: RESULTS.jsonl, one `{"id", "score", "output"?}` a line (DESIGN §6)."""

from __future__ import annotations

from collections.abc import Iterator

from evo.domain.job import EvalJob
from evo.evaluate.grading import InvalidResults
from evo.evaluate.readers.base import Answer, Left, name_of, parsed, quoted, text_of


def read(left: Left, job: EvalJob) -> Iterator[Answer]:
    try:
        data = left.answers.read_bytes()
    except FileNotFoundError:
        raise InvalidResults(f"`{job.command}` ended well, but wrote no results") from None
    for number, text in enumerate(data.split(b"\n"), start=1):
        if not text.strip():
            continue
        where = f"results of `{job.command}`, line {number}"
        row = parsed(text, where=where, job=job)
        for key in ("id", "score"):
            if key not in row:
                raise InvalidResults(f"{where}: has no {key}{quoted(job, repr(row))}")
        item = name_of(row["id"], where=where, field="id")
        yield Answer(where, item, row["score"], text_of(row.get("output"), where=where, field="output"))
