"""Weights & Biases: a run for each page, in the mode that it is told.

`mode="online"` raises where there is no login or no server within INIT_S; falling back is for a new process, since in
this one the id counts as taken. `offline` leaves one folder a page, always whole, which `wandb sync` uploads.
An offline run cannot name artifacts of other runs: there the lineage stands in the config alone.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import wandb

from evo.track.base import Artifact, Cell, Page, Point, Table

INIT_S = 15
FINISH_S = 120


class WandbTracker:
    def __init__(self, mode: str, folder: Path) -> None:
        self._mode = mode
        self._folder = folder
        self._runs: dict[str, wandb.Run] = {}
        for name, part in (("WANDB_DATA_DIR", "data"), ("WANDB_CACHE_DIR", "cache")):
            os.environ[name] = str(folder / part)  # tables wait there for their upload

    def begin(self, page: Page) -> None:
        if self._mode == "offline" and not page.is_added_to:
            self._remove(page.id)
        run = wandb.init(
            project=page.project,
            group=page.group,
            id=page.id,
            name=page.name,
            job_type=page.job_type,
            config=dict(page.config),
            resume="allow" if page.is_added_to else None,
            reinit="create_new",
            settings=self._settings(),
        )
        run.define_metric("train/step")
        for names in ("train/*", "mid/*"):
            run.define_metric(names, step_metric="train/step")
        if self._mode == "online":
            for artifact in page.uses:
                with contextlib.suppress(wandb.Error, ValueError):  # of an experiment that was never mirrored
                    run.use_artifact(f"{artifact}:latest", type="model")
        self._runs[page.id] = run

    def log(self, run: str, points: Sequence[Point]) -> None:
        for point in points:
            self._runs[run].log({**point.values, "_timestamp": datetime.fromisoformat(point.at).timestamp()})

    def table(self, run: str, table: Table) -> None:
        shown = {table.name: wandb.Table(columns=list(table.columns), data=[list(row) for row in table.rows])}
        self._runs[run].log(shown | ({} if table.step is None else {"train/step": table.step}))

    def picture(self, run: str, name: str, svg: str) -> None:
        self._runs[run].log({name: wandb.Html(svg, inject=False)})

    def finish(self, run: str, summary: dict[str, Cell], artifact: Artifact | None) -> None:
        made = self._runs[run]
        made.summary.update(summary)
        if artifact is not None:
            weights = wandb.Artifact(artifact.name, type="model", metadata=dict(artifact.metadata))
            weights.add_reference(artifact.uri, name="weights", checksum=False)
            made.log_artifact(weights)
        made.finish()
        del self._runs[run]

    def close(self) -> None:
        for run in self._runs.values():
            run.finish(exit_code=1)
        self._runs.clear()

    def _settings(self) -> wandb.Settings:
        """Nothing of this machine is sent that the tree does not hold: no code, packages, git state or statistics."""
        return wandb.Settings(
            mode="online" if self._mode == "online" else "offline",
            root_dir=str(self._folder),
            init_timeout=INIT_S,
            finish_timeout=FINISH_S,
            finish_timeout_raises=True,
            silent=True,
            console="off",
            program="evo",
            allow_val_change=True,
            disable_git=True,
            disable_code=True,
            save_code=False,
            x_disable_meta=True,
            x_disable_stats=True,
            x_disable_machine_info=True,
            x_save_requirements=False,
        )

    def _remove(self, run: str) -> None:
        """An earlier whole writing of this page."""
        for folder in (self._folder / "wandb").glob(f"offline-run-*_*-{run}"):
            if folder.name.split("-", 3)[3] == run:
                shutil.rmtree(folder)
