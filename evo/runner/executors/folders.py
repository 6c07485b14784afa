"""What executors on one filesystem share: a folder made ready for a supervisor, and its state read back."""

from __future__ import annotations

import time
from pathlib import Path
from typing import cast, get_args

from evo.domain.job import AttemptFolder, Job
from evo.runner import process, records
from evo.runner.executors.base import Handle, JobStage, JobState
from evo.validation import plain


def lay_out(job: Job) -> AttemptFolder:
    """Write job.json and clear what an earlier submission left: its result, its supervisor, a wish to end it."""
    folder = AttemptFolder(Path(job.folder))
    for path in (folder.result, folder.supervisor, folder.heartbeat, folder.cancel, folder.stop):
        records.remove(str(path))
    records.write_record(str(folder.job), plain(job), is_durable=False)
    return folder


def state_of(handle: Handle) -> JobState:
    """By the process, and by what it says of itself while it lives."""
    record = process.supervisor_record(handle.folder)
    beat = process.heartbeat_age_s(handle.folder)
    if handle.process is None or not process.is_alive(handle.process):
        return JobState("ended", None, beat)
    since = record.get("since")
    seconds = max(0.0, time.time() - since) if isinstance(since, float) else None
    stage = record.get("stage")
    return JobState(cast(JobStage, stage) if stage in get_args(JobStage) else "starting", seconds, beat)


def find(folder: Path) -> Handle | None:
    supervisor = process.supervisor_of(folder)
    return None if supervisor is None else Handle(folder, supervisor)


def ask_to_end(handle: Handle) -> None:
    records.touch(str(AttemptFolder(handle.folder).cancel))
