"""MLflow: a run for each page, found again by its tag `evo.id`, on whatever MLFLOW_TRACKING_URI names.

Without one, files under the tracker's folder. A page that is replaced is deleted and made anew, as metrics are only
ever added. Numbers of a summary become metrics, words become tags.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

for _name, _value in {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ALLOW_FILE_STORE": "true",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "GIT_PYTHON_REFRESH": "quiet",
}.items():
    os.environ.setdefault(_name, _value)  # read when mlflow is imported

from mlflow.entities import Metric, Param  # noqa: E402
from mlflow.tracking import MlflowClient  # noqa: E402

from evo.track.base import Artifact, Cell, Page, Point, Table  # noqa: E402

MOST_METRICS, MOST_PARAMS, LONGEST = 1000, 100, 5000
"""Limits of one request, and of one value."""


class MlflowTracker:
    def __init__(self, mode: str, folder: Path) -> None:
        del mode  # it has one
        uri = os.environ.get("MLFLOW_TRACKING_URI") or (folder / "mlruns").as_uri()
        self._client = MlflowClient(tracking_uri=uri)
        self._runs: dict[str, str] = {}

    def begin(self, page: Page) -> None:
        place = self._place(page.project)
        found = self._client.search_runs([place], f"tags.`evo.id` = '{page.id}'")
        if page.is_added_to and found:
            self._runs[page.id] = found[0].info.run_id
            return
        for old in found:
            self._client.delete_run(old.info.run_id)
        tags = {"evo.id": page.id, "evo.group": page.group, "evo.job_type": page.job_type}
        tags |= {"evo.uses": ",".join(page.uses)} if page.uses else {}
        made = self._client.create_run(place, run_name=page.name, tags=tags, start_time=_milliseconds(page.started_at))
        self._runs[page.id] = made.info.run_id
        params = [Param(_named(name), str(value)[:LONGEST]) for name, value in _flat(page.config).items()]
        for start in range(0, len(params), MOST_PARAMS):
            self._client.log_batch(made.info.run_id, params=params[start : start + MOST_PARAMS])

    def log(self, run: str, points: Sequence[Point]) -> None:
        metrics = [
            Metric(_named(name), value, _milliseconds(point.at) or 0, point.step or 0)
            for point in points
            for name, value in point.values.items()
        ]
        for start in range(0, len(metrics), MOST_METRICS):
            self._client.log_batch(self._runs[run], metrics=metrics[start : start + MOST_METRICS])

    def table(self, run: str, table: Table) -> None:
        step = "" if table.step is None else f"-{table.step:06d}"
        content = {"columns": list(table.columns), "data": [list(row) for row in table.rows]}
        self._client.log_dict(self._runs[run], content, f"{_named(table.name)}{step}.json")

    def picture(self, run: str, name: str, svg: str) -> None:
        self._client.log_text(self._runs[run], svg, f"{_named(name)}.svg")

    def finish(self, run: str, summary: dict[str, Cell], artifact: Artifact | None) -> None:
        made = self._runs[run]
        for name, value in summary.items():
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                self._client.log_metric(made, _named(name), value)
            elif value is not None:
                self._client.set_tag(made, f"evo.{_named(name)}", str(value)[:LONGEST])
        if artifact is not None:
            self._client.set_tag(made, "evo.artifact", artifact.uri)
        self._client.set_terminated(made, "FINISHED")
        del self._runs[run]

    def close(self) -> None:
        for made in self._runs.values():
            self._client.set_terminated(made, "KILLED")
        self._runs.clear()

    def _place(self, project: str) -> str:
        found = self._client.get_experiment_by_name(project)
        return str(found.experiment_id if found else self._client.create_experiment(project))


def _named(name: str) -> str:
    return re.sub(r"[^\w\-./ ]", "_", name)


def _milliseconds(at: str) -> int | None:
    return int(datetime.fromisoformat(at).timestamp() * 1000) if at else None


def _flat(config: dict[str, object], prefix: str = "") -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in config.items():
        found |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return found
