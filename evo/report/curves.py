"""How a run trained, from the `metrics.jsonl` that it wrote itself.

Invariant: it is the run's own word, shown as such; nothing here is a score.
"""

from __future__ import annotations

import json
import math

from evo.domain.experiment import Experiment
from evo.domain.read_views import CurveView
from evo.runner import records
from evo.session import Session

MOST_BYTES = 8 << 20
"""Of a longer file only the end is read."""


def curve(session: Session, experiment: Experiment) -> CurveView | None:
    """The loss of the attempt that stands for the experiment; None where it logged none."""
    if experiment.primary_attempt is None:
        return None
    path = session.layout.attempt(experiment.id, experiment.primary_attempt).metrics
    content = records.read_bytes(str(path), offset=-MOST_BYTES, limit=MOST_BYTES)
    if content is None:
        return None
    points = [point for line in content.split(b"\n") if (point := _point(line)) is not None]
    if not points:
        return None
    losses = [loss for _, loss in points]
    return CurveView(len(points), points[-1][0], losses[0], losses[-1], min(losses))


def _point(line: bytes) -> tuple[int | None, float] | None:
    """(step, loss) of one line; None for a torn line or one without a finite loss."""
    try:
        row = json.loads(line)
        loss, step = row["loss"], row.get("step")
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return None
    if isinstance(loss, bool) or not isinstance(loss, (int, float)) or not math.isfinite(loss):
        return None
    return (step if isinstance(step, int) and not isinstance(step, bool) else None), float(loss)
