"""A hold on the warm inference server: it runs while somebody holds it, and is found again by whoever comes next.

Invariant: answers are given by the weights that were asked for. An adapter has a name of its own for each hold; full
weights are changed by one holder alone while nobody else asks, and noted before and after, so that a change that was
cut off is seen; a restarted server listens elsewhere, so that nobody takes its answers for those of the old one.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from evo.domain.job import ServerFacts
from evo.domain.service import ServiceFolder
from evo.errors import EvoError, RunFailed
from evo.evaluate.server.command import BASE, START_S
from evo.evaluate.server.place import cure, down_reason, ensure_keeper, has_keeper, lay_out, open_lock, state_of
from evo.evaluate.server.wire import ServerLost, ServerRefused, ask, is_healthy
from evo.evaluate.weights import is_tied
from evo.files import read_json, write_json

PAUSE_S = 0.05
LOSS_LIMIT_S = 150.0
"""A lost server is ended, restarted or given up by its keeper within this time."""
_DYING_S = 3.0
_UNKNOWN_PATH = (404, 405)
_ON_CUDA = "device_config=cuda"


class ServerDown(RunFailed):
    """The server crashed, was started again, and crashed: it is not to be had any more."""

    code = "server_down"

    def __init__(self, why: str, folder: ServiceFolder) -> None:
        super().__init__(f"the inference server is down: {why}", hint=f"log: {folder.log}; {cure(folder)}")
        self.why = why


class CannotSwap(Exception):
    """This server does not take other full weights while it runs."""


class Served(NamedTuple):
    """One start of the server, with weights in place. `model`: what to ask for."""

    folder: Path
    socket: str
    run: str
    model: str = BASE

    def post(self, path: str, payload: object) -> object:
        return ask(self.folder, self.socket, path, payload)


class Hold:
    """From `take` to `release` the server is kept running.

    `env` is what a fresh server gets; None: this holder uses one that is kept, and never has one started.
    """

    def __init__(self, facts: ServerFacts, env: dict[str, str] | None) -> None:
        self._facts = facts
        self._env = env
        self._place = ServiceFolder(Path(facts.folder))
        self._use = -1

    def take(self) -> None:
        if self._use < 0:
            if self._env is not None:
                lay_out(self._facts, self._env)
            elif not has_keeper(self._place):
                raise ServerDown("nobody keeps it", self._place)
            self._use = open_lock(self._place.use_lock)
            fcntl.flock(self._use, fcntl.LOCK_SH)

    def release(self) -> None:
        if self._use >= 0:
            os.close(self._use)
            self._use = -1

    def ready(self) -> Served:
        """The running server; waits for it to start. ServerDown where it does not."""
        self.take()
        deadline = time.monotonic() + 3 * START_S
        while time.monotonic() < deadline:
            why = down_reason(self._place)
            if why:
                raise ServerDown(why, self._place)
            if not self._has_keeper():
                continue
            state = state_of(self._place)
            if state.state == "ready":
                return Served(self._place.root, state.socket, state.run)
            time.sleep(PAUSE_S)
        raise ServerDown("its keeper has not started it", self._place)

    def _has_keeper(self) -> bool:
        """Whether there was one; else one is started, where this holder may. ServerDown where nobody keeps it."""
        if self._env is not None:
            return not ensure_keeper(self._place)
        if not has_keeper(self._place):
            raise ServerDown("nobody keeps it", self._place)
        return True

    def is_up(self, server: Served) -> bool:
        """Whether it goes on answering after an error of its own: an engine that died takes its server with it."""
        time.sleep(_DYING_S)
        return is_healthy(server.folder, server.socket)

    def await_change(self, lost: Served) -> None:
        """After a loss: until the keeper has noticed. ServerDown where it does not."""
        deadline = time.monotonic() + LOSS_LIMIT_S
        while time.monotonic() < deadline:
            state = state_of(self._place)
            if state.run != lost.run or state.state != "ready" or not has_keeper(self._place):
                return
            time.sleep(PAUSE_S)
        raise ServerDown("it breaks off every answer", self._place)

    @contextlib.contextmanager
    def with_base(self, server: Served) -> Iterator[Served]:
        """The base model's own weights, for this and other users at once."""
        lock = open_lock(self._place.weights_lock)
        try:
            fcntl.flock(lock, fcntl.LOCK_SH)
            while self._loaded(server) != self._facts.weights:
                fcntl.flock(lock, fcntl.LOCK_EX)
                self._load(server, Path(self._facts.base_model), self._facts.weights)
                fcntl.flock(lock, fcntl.LOCK_SH)  # others may come in between: look again
            yield server
        finally:
            os.close(lock)

    @contextlib.contextmanager
    def with_adapter(self, server: Served, folder: Path, weights: str) -> Iterator[Served]:
        """The adapter in `folder` on the base model, under a name of its own."""
        with self.with_base(server):
            name = f"{weights[:16]}-{os.urandom(4).hex()}"
            server.post("/v1/load_lora_adapter", {"lora_name": name, "lora_path": str(folder)})
            try:
                yield server._replace(model=name)
            finally:
                with contextlib.suppress(ServerLost, EvoError):
                    server.post("/v1/unload_lora_adapter", {"lora_name": name})

    @contextlib.contextmanager
    def with_weights(self, server: Served, folder: Path, weights: str) -> Iterator[Served]:
        """The full weights in `folder`, for this user alone. Others wait, and bring back what they need."""
        if not self._can_swap(server):
            raise CannotSwap
        lock = open_lock(self._place.weights_lock)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            try:
                self._load(server, folder, weights)
            except ServerRefused as error:
                self._note_fixed(server, error)
                raise CannotSwap from error
            yield server
        finally:
            os.close(lock)

    def _can_swap(self, server: Served) -> bool:
        """False on a CPU with tied embeddings: vLLM keeps a packed copy of them there, and goes on with the old one."""
        if self._place.fixed.exists():
            return False
        if not is_tied(Path(self._facts.base_model)):
            return True
        with contextlib.suppress(ServerRefused):
            if _ON_CUDA in str(ask(server.folder, server.socket, "/server_info")):
                return True
        self._place.fixed.write_text("its embeddings are tied, and it is not known to be on a GPU\n", encoding="utf-8")
        return False

    def _note_fixed(self, server: Served, error: ServerRefused) -> None:
        """Nobody tries again. Where it failed half way, the server is ended: its keeper starts it with the base."""
        self._place.fixed.write_text(error.message + "\n", encoding="utf-8")
        if error.status in _UNKNOWN_PATH:
            write_json(self._place.weights, {"run": server.run, "weights": self._facts.weights})
        elif (state := state_of(self._place)).run == server.run and state.session > 1:
            os.kill(state.session, signal.SIGTERM)

    def _loaded(self, server: Served) -> str:
        with contextlib.suppress(EvoError, TypeError):
            record = read_json(self._place.weights)
            if record.get("run") == server.run:
                return str(record.get("weights"))
        return self._facts.weights

    def _load(self, server: Served, folder: Path, weights: str) -> None:
        """Under weights.lock, alone. What is loaded is unknown while it is being changed."""
        if self._loaded(server) == weights:
            return
        write_json(self._place.weights, {"run": server.run, "weights": ""})
        kwargs = {"weights_path": str(folder)}
        server.post("/collective_rpc", {"method": "reload_weights", "kwargs": kwargs})
        server.post("/reset_prefix_cache", {})
        write_json(self._place.weights, {"run": server.run, "weights": weights})
