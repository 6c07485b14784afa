"""What the tree is mirrored to: the protocol that every tracker keeps.

A page is one run in a tracker's words: one attempt of an experiment, or the tree as a whole. The mirror begins a page,
logs points, tables and pictures, and finishes it; several pages may be open at once.
Invariant: what reaches a tracker is on record elsewhere, so any page can be written again from its beginning. A tracker
lives in a process of its own and need not survive an error: it raises, the process ends, and the mirror decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from evo.errors import Refused
from evo.lightdata import dataclass, field

Cell = str | float | int | bool | None


class TrackerDown(Refused):
    """The tracker's process has ended, or has not answered in time."""

    code = "tracker"


@dataclass(frozen=True)
class Page:
    """What stands on a page from the start. Times are ISO 8601 UTC."""

    id: str
    project: str
    group: str
    name: str
    job_type: str
    config: dict[str, object]
    uses: list[str] = field(default_factory=list)
    """Names of the artifacts that it started from."""
    started_at: str = ""
    is_added_to: bool = False
    """True: the page is there already and is added to; False: whatever a page of this id held is replaced."""


@dataclass(frozen=True)
class Point:
    """Numbers at one moment. `step` is the training step where there is one."""

    at: str
    values: dict[str, float]
    step: int | None = None


@dataclass(frozen=True)
class Table:
    name: str
    columns: list[str]
    rows: list[list[Cell]]
    step: int | None = None


@dataclass(frozen=True)
class Artifact:
    """Weights by reference: nothing of them is sent."""

    name: str
    uri: str
    metadata: dict[str, object] = field(default_factory=dict)


class Tracker(Protocol):
    """Made as `Member(mode, folder)`: `mode` is `online` or `offline`, `folder` is where it may write.

    Every call has arrived, or is safely on its way, when it returns. `run` is the id of a page that was begun.
    """

    def begin(self, page: Page) -> None:
        """Open a page; unless it is added to, it is empty from here on."""

    def log(self, run: str, points: Sequence[Point]) -> None:
        """Add points, in order."""

    def table(self, run: str, table: Table) -> None:
        """Add a table, or its next version."""

    def picture(self, run: str, name: str, svg: str) -> None:
        """Add a drawing, or its next version."""

    def finish(self, run: str, summary: dict[str, Cell], artifact: Artifact | None) -> None:
        """Write the final numbers and close the page."""

    def close(self) -> None:
        """Close pages that are still open, as interrupted."""
