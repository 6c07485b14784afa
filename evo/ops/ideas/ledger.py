"""`.evo/reports/ideas.jsonl`: every idea once, as a line that other tools can read (row A34).

Invariant: the lines of one call are appended by one write, so that two writers never mix theirs; the database stays
the truth about states.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any

from evo.domain.idea import RecordedIdea
from evo.workspace.layout import Layout

NAME = "ideas.jsonl"


def append(layout: Layout, ideas: Sequence[RecordedIdea]) -> None:
    """Nothing is touched where there is nothing to add."""
    if not ideas:
        return
    lines = "".join(json.dumps(line_of(one), ensure_ascii=False, allow_nan=False) + "\n" for one in ideas)
    layout.reports.mkdir(parents=True, exist_ok=True)
    handle = os.open(layout.reports / NAME, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(handle, lines.encode())
        os.fsync(handle)
    finally:
        os.close(handle)


def line_of(one: RecordedIdea) -> dict[str, Any]:
    idea = one.idea
    return {
        "id": one.id,
        "generated_at": one.created_at,
        "brief": idea.brief,
        "based_on_experiments": idea.based_on,
        "title": idea.title,
        "hypothesis": idea.hypothesis,
        "technique": idea.technique,
        "recipe": idea.recipe,
        "patch": idea.patch,
        "data_source": idea.data_source,
        "est_cost": {"gpu_seconds": idea.gpu_seconds},
        "expected_score_uplift": {"mean": idea.gain, "low": idea.low, "high": idea.high},
        "rationale": idea.rationale,
        "differentiation_from_existing": idea.differs,
        "references_consulted": [
            {"url": each.url, "kind": each.kind, "finding": each.finding, "title": each.title, "status": each.status}
            for each in idea.references
        ],
        "confidence_signals": idea.confidence,
    }
