"""Where attempts run. An executor starts supervisors and says when to look; it never says how an attempt ended.

The contract that every member keeps (tests/contracts/test_executors.py runs it over all of them):

- `submit` writes job.json (mode 0600), starts one supervisor for it, hands over the token where no training process can
  read it, and returns without waiting for the training (inline excepted, which returns when all is over). Records of
  an earlier submission in the same folder are gone by then, trained.json excepted. For a detached job (no controller)
  it returns once the supervisor has shown itself: from then on nobody takes the attempt for one that never started.
- `warm_up` may start what a `submit` will need, which need not follow; `close` gives back what was never used. With the
  name of a module it may have that imported, for a stage which names it.
- `poll` is cheap, keeps the order of its handles, and never raises because a job went wrong. `ended` means that no
  supervisor works on the folder any more: now, and not before, is the time to read result.json.
- `cancel` asks; the supervisor ends the tree and says so in result.json. Asking twice, or too late, does no harm.
- `find` gives a handle for a folder that any process, also an earlier one, submitted; None before a supervisor
  has shown itself there.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Protocol

from evo.domain.job import Job, ProcessId
from evo.lightdata import dataclass

JobStage = Literal["starting", "queued", "training", "evaluating", "ended"]


@dataclass(frozen=True)
class Abilities:
    """`is_detachable`: a job outlives the process that submitted it."""

    has_shared_filesystem: bool
    is_detachable: bool
    has_gpus: bool


@dataclass(frozen=True)
class Handle:
    """`process` is the supervisor, where it is a process that this machine knows."""

    folder: Path
    process: ProcessId | None


@dataclass(frozen=True)
class JobState:
    """`seconds`: how long it has been in this stage. `heartbeat_age_s`: None before the first heartbeat."""

    stage: JobStage
    seconds: float | None = None
    heartbeat_age_s: float | None = None


class Executor(Protocol):
    abilities: Abilities

    def warm_up(self, module: str = "") -> None: ...

    def submit(self, job: Job, *, token: str) -> Handle: ...

    def close(self) -> None: ...

    def poll(self, handles: Sequence[Handle]) -> list[JobState]: ...

    def cancel(self, handle: Handle) -> None: ...

    def find(self, folder: Path) -> Handle | None: ...
