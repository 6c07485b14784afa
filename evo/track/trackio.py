"""trackio: a run for each page, in its SQLite database here or on the Space or server that its variables name.

Here a page is replaced as a whole. A Space cannot be told to forget, so there a page is taken up where it ended and
what it holds already is left out.
"""

from __future__ import annotations

import contextvars
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import trackio

from evo.track.base import Artifact, Cell, Page, Point, Table


class TrackioTracker:
    def __init__(self, mode: str, folder: Path) -> None:
        del mode, folder  # it has one mode, and its own place for its database
        self._is_here = not (os.environ.get("TRACKIO_SPACE_ID") or os.environ.get("TRACKIO_SERVER_URL"))
        self._runs: dict[str, trackio.Run] = {}
        self._known: dict[str, int] = {}

    def begin(self, page: Page) -> None:
        if self._is_here and not page.is_added_to:
            self._remove(page)
        # each in a context of its own: trackio ends the run that it finds in the present one
        run = contextvars.copy_context().run(
            trackio.init,
            project=page.project,
            name=page.id,
            group=page.group,
            config={**page.config, "name": page.name, "job_type": page.job_type},
            resume="never" if self._is_here and not page.is_added_to else "allow",
            embed=False,
            auto_log_gpu=False,
            auto_log_cpu=False,
        )
        self._runs[page.id] = run
        self._known[page.id] = run._next_step

    def log(self, run: str, points: Sequence[Point]) -> None:
        for point in points:
            self._add(run, dict(point.values), point.step)

    def table(self, run: str, table: Table) -> None:
        rows = [[self._plain(cell) for cell in row] for row in table.rows]
        self._add(run, {table.name: trackio.Table(columns=list(table.columns), data=rows)}, table.step)

    def picture(self, run: str, name: str, svg: str) -> None:
        self._add(run, {name: trackio.Html(svg)}, None)

    def finish(self, run: str, summary: dict[str, Cell], artifact: Artifact | None) -> None:
        facts = {f"summary/{name}": self._plain(value) for name, value in summary.items() if value is not None}
        if artifact is not None:
            facts["summary/artifact"] = artifact.uri
        self._runs[run].log(facts)
        self._runs.pop(run).finish()

    def close(self) -> None:
        for run in self._runs.values():
            run.finish()
        self._runs.clear()

    def _add(self, run: str, values: dict[str, Any], step: int | None) -> None:
        if step is None or step >= self._known[run]:
            self._runs[run].log(values, step=step)

    @staticmethod
    def _plain(value: Cell) -> Cell:
        return int(value) if isinstance(value, bool) else value

    def _remove(self, page: Page) -> None:
        """An earlier whole writing of this page."""
        try:
            known = list(trackio.Api().runs(page.project))
        except ValueError:
            return  # no such project yet
        for run in known:
            if run.name == page.id:
                run.delete()
