"""The heartbeat of a loop: where it is written, how often, and when its silence means that the loop is gone."""

from __future__ import annotations

import time

from evo.workspace.layout import Layout

BEAT_S = 5.0
QUIET_S = 60.0


def is_beating(layout: Layout) -> bool:
    """Whether some loop of this workspace was heard of within the last minute."""
    try:
        return time.time() - layout.loop_heartbeat.stat().st_mtime < QUIET_S
    except FileNotFoundError:
        return False
