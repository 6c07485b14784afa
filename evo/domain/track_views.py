"""What `evo wandb` shows of the mirror."""

from __future__ import annotations

from evo.lightdata import dataclass


@dataclass(frozen=True)
class MirrorStatusView:
    """`tracker` is what the next run is mirrored to (`none`: nothing), `why` where that comes from.

    `told` counts pages that stand there as they do here, `owed` those that `evo wandb sync` would write.
    """

    tracker: str
    mode: str
    why: str
    project: str
    tree: str
    folder: str
    told: int
    owed: int
    is_running: bool
    problem: str


@dataclass(frozen=True)
class SyncView:
    """`pages` were written in this pass."""

    tracker: str
    mode: str
    pages: int
    folder: str
