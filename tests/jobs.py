"""Attempts made of shell lines, for tests of the runner; and a look at processes that does not use evo's own."""

from __future__ import annotations

import itertools
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from evo.domain.job import AttemptFolder, Job, RunFacts, Stage
from evo.runner import process
from evo.runner.environment import make_folders

TOKEN = "tok-5f0c2a71e9"
GOOD = "echo weights > output/w"
_numbers = itertools.count()


def make_job(
    root: Path,
    train: str | None = GOOD,
    evaluate: str | None = "true",
    *,
    timeout_s: float | None = None,
    eval_timeout_s: float | None = None,
    is_detached: bool = False,
    **options: object,
) -> Job:
    """A job in `root` whose stages are lines for `sh`, run in the attempt's folder."""
    folder = AttemptFolder(root)
    make_folders(folder)
    folder.eval_job.write_text('{"mine": true}')
    env = {"PATH": os.environ["PATH"], "PYTHON": sys.executable}

    def stage(line: str | None, log: Path, limit_s: float | None) -> Stage | None:
        return None if line is None else Stage(["sh", "-c", line], str(root), env, str(log), limit_s)

    facts = RunFacts("exp_0001", 1, 42, {}, {}, str(folder.output), str(root / "cache"))
    return Job(
        "exp_0001",
        1,
        str(root),
        stage(train, folder.train_log, timeout_s),
        stage(evaluate, folder.eval_log, eval_timeout_s),
        facts,
        controller=None if is_detached else process.current(),
        **{"grace_s": 0.5, **options},  # type: ignore[arg-type]
    )


def unique_sleep() -> str:
    """A `sleep` that no other test runs: find its process by the word."""
    return f"sleep 4321.{os.getpid():07d}{next(_numbers):04d}"


def processes(word: str) -> list[int]:
    """Living processes with `word` on their command line."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            line = Path("/proc", name, "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if word in line and int(name) != os.getpid():
            found.append(int(name))
    return found


def eventually(claim: Callable[[], object], *, within_s: float = 10.0) -> bool:
    """Whether `claim` comes true in time."""
    deadline = time.monotonic() + within_s
    while not claim():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True
