"""The workers of a loop: each runs one `evo run`, or asks the gate, in a process of its own.

Invariant: what a worker did is read from the store, never from its words; a worker that is left alone finishes its run
and stores the score without the loop.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from evo.errors import Busy
from evo.lightdata import dataclass, field

_PAUSE_S = 0.5


@dataclass(frozen=True)
class Worker:
    """`said` holds what `evo run --json` printed."""

    k: int
    experiment: str
    process: subprocess.Popen[bytes]
    said: Path
    since: float = field(default_factory=time.monotonic)


@dataclass(frozen=True)
class Done:
    k: int
    experiment: str
    code: int
    said: Path
    seconds: float = 0.0

    @property
    def has_died(self) -> bool:
        """It was killed, or broke down as a bug does: what it was at was not refused."""
        return self.code < 0 or self.code == 1 or self.code >= 128


class Crew:
    """At most `size` workers of the workspace at `root`; their output lies in `folder`. `slots`: how many may train at
    a time by evo.yaml; that many workers and more may here. GPUs are leased all the same."""

    def __init__(self, root: Path, folder: Path, *, size: int, slots: int) -> None:
        self._root, self._folder, self.size = root, folder, size
        self._env = os.environ | ({"EVO_RUN_SLOTS": str(size)} if size > slots else {})
        self._workers: list[Worker] = []
        self._again: list[tuple[float, int, str, tuple[str, ...]]] = []
        self._words: dict[int, tuple[str, ...]] = {}
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def running(self) -> list[Worker]:
        return list(self._workers)

    @property
    def is_idle(self) -> bool:
        return not self._workers and not self._again

    @property
    def room(self) -> int:
        return self.size - len(self._workers) - len(self._again)

    def start(self, k: int, experiment: str, *words: str) -> None:
        """`evo run EXPERIMENT WORDS`."""
        self._start(k, experiment, ("run", experiment, *words))

    def ask(self, k: int, experiment: str, *, about: str) -> None:
        """`evo certify ABOUT`, before the pick of `experiment` ends."""
        self._start(k, experiment, ("certify", about))

    def _start(self, k: int, experiment: str, words: tuple[str, ...]) -> None:
        """`evo WORDS`, out of reach of the terminal's Ctrl-C."""
        said = self._folder / f"{k:04d}.json"
        argv = [sys.executable, "-m", "evo", *words, "--json"]
        with said.open("wb") as out, said.with_suffix(".err").open("wb") as err:
            process = subprocess.Popen(
                argv,
                cwd=self._root,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        self._words[k] = words
        self._workers.append(Worker(k, experiment, process, said))

    def reap(self) -> list[Done]:
        """Workers that have ended. Where another process is at the experiment, it is asked again a little later."""
        done = []
        for worker in self.running:
            code = worker.process.poll()
            if code is None:
                continue
            self._workers.remove(worker)
            if code == Busy.exit_code:
                self._again.append((time.monotonic() + _PAUSE_S, worker.k, worker.experiment, self._words[worker.k]))
            else:
                seconds = time.monotonic() - worker.since
                done.append(Done(worker.k, worker.experiment, code, worker.said, seconds))
        for entry in [entry for entry in self._again if entry[0] <= time.monotonic()]:
            self._again.remove(entry)
            self._start(*entry[1:])
        return done

    def leave(self) -> None:
        """Forget the workers: they go on by themselves."""
        self._again.clear()
        self._workers.clear()

    def end(self, *, patience_s: float = 10.0) -> None:
        """End the workers; supervisors see that, and end what they train."""
        for worker in self._workers:
            worker.process.terminate()
        deadline = time.monotonic() + patience_s
        for worker in self._workers:
            with suppress(subprocess.TimeoutExpired):
                worker.process.wait(max(0.1, deadline - time.monotonic()))
            if worker.process.poll() is None:
                worker.process.kill()
                worker.process.wait()
        self.leave()
