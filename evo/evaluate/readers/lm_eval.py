"""Reader `lm-eval`: the per-sample log of the LM Evaluation Harness, `samples_TASK_DATE.jsonl`.

The command needs `--log_samples --output_path {logs}`. An item's id is the field `id` of its document, or `doc_id`
where the document has none. metric.name is the metric as the harness names it, `exact_match`, with the filter where a
task has several: `exact_match,strict-match`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from evo.domain.job import EvalJob
from evo.evaluate.grading import InvalidResults
from evo.evaluate.readers.base import Answer, Left, chosen, name_of, one_log, parsed, text_of

UNFILTERED = "none"
_NO_METRICS = frozenset(
    {
        *("doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter", "metrics"),
        *("doc_hash", "prompt_hash", "target_hash", "token_counts"),
    }
)


def read(left: Left, job: EvalJob) -> Iterator[Answer]:
    path = one_log(sorted(left.logs.rglob("samples_*.jsonl")), tool="lm-eval (--log_samples)", logs=left.logs)
    lines = enumerate(path.read_bytes().split(b"\n"), start=1)
    rows = [(f"{path.name}, line {n}", text) for n, text in lines if text.strip()]
    samples = [(where, parsed(text, where=where, job=job)) for where, text in rows]
    names = sorted({name for _, sample in samples for name in _metrics(sample)})
    name = chosen(job.metric.removesuffix(f",{UNFILTERED}"), names, where=path.name, what="metrics")
    for where, sample in samples:
        if _filter(sample) == name.partition(",")[2]:
            yield _answer(sample, name, where=where)


def _filter(sample: Mapping[str, Any]) -> str:
    """Empty where the sample's answers were not filtered."""
    found = sample.get("filter", UNFILTERED)
    return "" if found == UNFILTERED else str(found)


def _metrics(sample: Mapping[str, Any]) -> list[str]:
    """What `metric.name` may be: the sample's metrics with its filter, if it has one."""
    listed = sample.get("metrics")
    names = listed if isinstance(listed, list) else [key for key in sample if key not in _NO_METRICS]
    suffix = f",{_filter(sample)}" if _filter(sample) else ""
    return [f"{name}{suffix}" for name in names]


def _answer(sample: Mapping[str, Any], name: str, *, where: str) -> Answer:
    metric = name.partition(",")[0]
    if metric not in sample:
        raise InvalidResults(f"{where}: has no field {metric}")
    doc = sample.get("doc")
    named = doc.get("id") if isinstance(doc, Mapping) else None
    found = sample.get("doc_id") if named is None else named
    item = name_of(found, where=where, field="doc_id" if named is None else "doc.id")
    answers = sample.get("filtered_resps")
    first = answers[0] if isinstance(answers, list) and answers else None
    output = text_of(first, where=where, field="filtered_resps") if isinstance(first, str) else None
    return Answer(f"{where} field {metric}", item, sample[metric], output)
