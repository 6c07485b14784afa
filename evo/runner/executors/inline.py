"""The supervisor's work done in the calling process, for debuggers. Training is a process of its own all the same."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from evo.domain.job import Job
from evo.runner.child import supervise
from evo.runner.executors import folders
from evo.runner.executors.base import Abilities, Handle, JobState


class InlineExecutor:
    abilities = Abilities(has_shared_filesystem=True, is_detachable=False, has_gpus=True)

    def warm_up(self, module: str = "") -> None:
        """There is no process to start."""

    def close(self) -> None:
        """Nothing was started."""

    def submit(self, job: Job, *, token: str) -> Handle:
        """Returns when the attempt has ended; an interrupt ends its tree and leaves no result."""
        folder = folders.lay_out(job)
        supervise(str(folder.root), token)
        return Handle(folder.root, None)

    def poll(self, handles: Sequence[Handle]) -> list[JobState]:
        return [folders.state_of(handle) for handle in handles]

    def cancel(self, handle: Handle) -> None:
        folders.ask_to_end(handle)

    def find(self, folder: Path) -> Handle | None:
        return folders.find(folder)
