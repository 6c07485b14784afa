"""Reader `inspect`: the log that `inspect eval` writes, in its JSON form, sample by sample.

The command is given `INSPECT_LOG_DIR` and `INSPECT_LOG_FORMAT=json`, which `inspect eval` and `inspect_ai.eval()` heed.
A sample's id is the item's id. Its value is a number, a bool (right or wrong), or a letter as inspect's own metrics
read it: C 1, P ½, I and N 0. Where a task has several scorers, or one that gives several values, metric.name says which
(`match`, or `match.exact`). A log or a sample that inspect marks as failed is an error, never a zero: the exit
code of the command does not tell.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from evo.domain.job import EvalJob
from evo.errors import RunFailed
from evo.evaluate.grading import InvalidResults
from evo.evaluate.readers.base import Answer, Left, chosen, is_sealed, name_of, one_log, parsed, text_of

LETTERS = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0}


def read(left: Left, job: EvalJob) -> Iterator[Answer]:
    zipped = sorted(left.logs.rglob("*.eval"))
    logs = [path for path in sorted(left.logs.rglob("*.json")) if path.name != "logs.json"]
    if zipped and not logs:
        problem = f"{zipped[0].name} is in inspect's binary form, which is not read"
        raise InvalidResults(problem, hint="leave out --log-format, or make it json")
    path = one_log(logs, tool="inspect", logs=left.logs)
    log = parsed(path.read_bytes(), where=path.name, job=job)
    if log.get("status") != "success":
        error = log.get("error")
        why = f": {error.get('message')}" if isinstance(error, Mapping) and not is_sealed(job) else ""
        raise RunFailed(f"inspect ended with status {log.get('status')!r}{why}"[:400])
    samples = log.get("samples")
    if not isinstance(samples, list):
        raise InvalidResults(f"{path.name}, field samples: is missing", hint="leave out --no-log-samples")
    for number, sample in enumerate(samples):
        yield _answer(sample, where=f"{path.name}, samples[{number}]", job=job)


def _answer(sample: Any, *, where: str, job: EvalJob) -> Answer:
    if not isinstance(sample, Mapping) or "id" not in sample:
        raise InvalidResults(f"{where}: has no id")
    if sample.get("error"):
        raise RunFailed(f"{where}: inspect could not answer this sample")
    if sample.get("epoch", 1) != 1:
        hint = "leave out --epochs: eval.samples calls the command that often, with EVO_SAMPLE_SEED"
        raise InvalidResults(f"{where}: belongs to epoch {sample['epoch']}", hint=hint)
    values = _values(sample.get("scores") or {})
    name = chosen(job.metric, sorted(values), where=where, what="scores")
    value = values[name]
    if isinstance(value, bool):
        value = float(value)
    if isinstance(value, str):
        if value not in LETTERS:
            said = "" if is_sealed(job) else f" {value[:80]!r}"
            raise InvalidResults(f"{where} score {name}: the text{said} is no number and none of {', '.join(LETTERS)}")
        value = LETTERS[value]
    item = name_of(sample["id"], where=where, field="id")
    return Answer(f"{where} score {name}", item, value, _output(sample, where=where))


def _values(scores: Mapping[str, Any]) -> dict[str, object]:
    """Scorer -> value; one that gives a dictionary is there as `scorer.key`."""
    found: dict[str, object] = {}
    for scorer, score in scores.items():
        value = score.get("value") if isinstance(score, Mapping) else score
        if isinstance(value, Mapping):
            found |= {f"{scorer}.{key}": inner for key, inner in value.items()}
        else:
            found[scorer] = value
    return found


def _output(sample: Mapping[str, Any], *, where: str) -> str | None:
    output = sample.get("output")
    return text_of(output.get("completion") if isinstance(output, Mapping) else None, where=where, field="output")
