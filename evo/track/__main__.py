"""The process that a tracker lives in: `python -m evo.track NAME online|offline FOLDER`.

It carries out the commands of `evo.track.wire` until its standard input ends. Whatever a library prints goes to
standard error; an error ends the process, and the mirror reads why in the log.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from evo import registry
from evo.track.base import Tracker
from evo.track.wire import obey


def serve(name: str, mode: str, folder: Path) -> None:
    answers = os.dup(1)
    os.dup2(2, 1)
    tracker: Tracker = registry.load("tracker", name)(mode, folder)
    try:
        for line in sys.stdin:
            obey(tracker, json.loads(line))
            os.write(answers, b"ok\n")
    finally:
        tracker.close()


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
