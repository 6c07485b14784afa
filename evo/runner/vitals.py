"""How a run is doing at this moment, from the end of its `metrics.jsonl`, its mid-evaluations and its heartbeat.

Promise: a look reads a bounded piece of each, whatever the run wrote there, and changes nothing.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from datetime import datetime

from evo.domain.job import AttemptFolder
from evo.domain.run_views import MidView, VitalsView
from evo.runner import process, records
from evo.runner.metrics import Row

TAIL_BYTES = 1 << 16
MOST_MIDS = 40
NAMES = (
    "epoch", "loss", "reward", "reward_std", "kl", "entropy", "learning_rate", "grad_norm", "mean_token_accuracy",
    "completion_length", "tokens_per_second", "gpu_memory_gb",
)  # fmt: skip
_SHORT = {"learning_rate": "lr"}
"""Other names that pages use."""


def read_vitals(folder: AttemptFolder) -> VitalsView:
    """The run's own parameters in job.json tell how many steps there are to do."""
    run = (records.read_record(str(folder.job)) or {}).get("run")
    facts: dict[str, object] = run if isinstance(run, dict) else {}
    params, fidelity = facts.get("params"), finite(facts.get("fidelity"))
    rows = tail_rows(str(folder.metrics))
    last = {name: last_of(rows, name) for name in NAMES}
    step = last_of(rows, "step")
    total = steps_to_do(params if isinstance(params, dict) else {}, step=step, epoch=last["epoch"])
    if total is not None and fidelity is not None:
        total = math.ceil(total * fidelity)
    return VitalsView(
        step=None if step is None else int(step),
        total=total,
        mids=read_mids(str(folder.mid_dir)),
        heartbeat_age_s=process.heartbeat_age_s(folder.root),
        ends_in_s=ends_in(rows, total=total),
        **last,
    )


def tail_rows(path: str) -> list[Row]:
    """The last whole rows of the file, oldest first."""
    content = records.read_bytes(path, offset=-TAIL_BYTES, limit=TAIL_BYTES) or b""
    whole = content[: content.rfind(b"\n") + 1].split(b"\n")
    rows = (_row(line) for line in (whole if len(content) < TAIL_BYTES else whole[1:]))
    return [row for row in rows if row is not None]


def _row(line: bytes) -> Row | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


def last_of(rows: Sequence[Row], name: str) -> float | None:
    """The newest finite value of a metric."""
    names = (name, _SHORT[name]) if name in _SHORT else (name,)
    return next((value for row in reversed(rows) for key in names if (value := finite(row.get(key))) is not None), None)


def finite(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value)


def steps_to_do(params: Mapping[str, object], *, step: float | None, epoch: float | None) -> int | None:
    """`max_steps` where it is set; else what the epochs come to, by how far the steps so far have brought the run."""
    wanted, most = finite(params.get("epochs")), finite(params.get("max_steps")) or 0
    if most > 0:
        return int(most)
    if wanted is None or not step or not epoch:
        return None
    return max(int(step), round(step * wanted / epoch))


def ends_in(rows: Sequence[Row], *, total: int | None) -> float | None:
    """Seconds to the last step, at the pace of the rows; None where there is none yet, or no end is known."""
    timed = [(at, step) for row in rows if (at := _moment(row)) and (step := finite(row.get("step"))) is not None]
    if total is None or len(timed) < 2 or timed[-1][1] <= timed[0][1]:
        return None
    (began, first), (now, step) = timed[0], timed[-1]
    return round(max(0.0, (total - step) * (now - began) / (step - first)), 1)


def _moment(row: Row) -> float | None:
    try:
        return datetime.fromisoformat(str(row.get("at"))).timestamp()
    except ValueError:
        return None


def read_mids(folder: str) -> list[MidView]:
    """The answers that lie there, by step; half-written and foreign files are passed over."""
    try:
        names = [name for name in os.listdir(folder) if name.endswith(".json") and name[:-5].isdecimal()]
    except OSError:
        return []
    found = (records.read_record(f"{folder}/{name}") for name in sorted(names, key=lambda n: int(n[:-5]))[-MOST_MIDS:])
    return [view for record in found if record is not None and (view := _mid(record)) is not None]


def _mid(record: Mapping[str, object]) -> MidView | None:
    step, mean, se, n = (finite(record.get(key)) for key in ("step", "mean", "se", "n"))
    if step is None or mean is None or se is None or n is None:
        return None
    return MidView(int(step), mean, se, int(n), finite(record.get("delta")), finite(record.get("delta_se")))
