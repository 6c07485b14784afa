"""The process that a tracker lives in: `python -m evo.track NAME online|offline FOLDER`.

It carries out the commands of `evo.track.wire` until its standard input ends. Whatever a library prints goes to
standard error. An error ends the process at once, without what a library would do at its exit (wandb waits for its
server); the last line of its words says why.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path
from types import TracebackType

from evo import registry
from evo.track.base import Tracker
from evo.track.wire import obey


def serve(name: str, mode: str, folder: Path) -> None:
    answers = os.dup(1)
    os.dup2(2, 1)
    tracker: Tracker = registry.load("tracker", name)(mode, folder)
    for line in sys.stdin:
        obey(tracker, json.loads(line))
        os.write(answers, b"ok\n")
    tracker.close()


def give_up(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    traceback.print_exception(kind, error, trace)
    what = next(iter(str(error).splitlines()), "")
    sys.stderr.write(f"{kind.__name__}: {what}\n")
    sys.stderr.flush()
    os._exit(1)


if __name__ == "__main__":
    sys.excepthook = give_up
    serve(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
