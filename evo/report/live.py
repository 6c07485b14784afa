"""What runs now: live attempts and the loop, and which of them have gone quiet.

Invariant: the store says which attempts are live; their folders say only when they were last heard of.
"""

from __future__ import annotations

import json
import time
from typing import Any, NamedTuple

from evo.clock import seconds_since
from evo.domain.attempt import Attempt
from evo.domain.job import AttemptFolder
from evo.domain.views import LoopStandView, RunningView
from evo.runner import proc, records
from evo.session import Session
from evo.store import attempts, loops
from evo.workspace.heartbeat import is_beating


class Live(NamedTuple):
    """Each live attempt stands in one list; `trained` names experiments whose evaluation is owed, `interrupted` those
    whose training goes on when they are run again."""

    running: list[RunningView]
    stale: list[RunningView]
    trained: list[str]
    interrupted: list[str]


def live(session: Session) -> Live:
    found = Live([], [], [], [])
    for attempt in attempts.live(session.db):
        if attempt.is_interrupted:
            found.interrupted.append(attempt.experiment)
            continue
        if attempt.state == "trained":
            found.trained.append(attempt.experiment)
            continue
        folder = session.layout.attempt(attempt.experiment, attempt.n)
        view = running_view(attempt, folder)
        is_stale = is_quiet(view, folder, patience_s=session.config.run.stale_after_s)
        (found.stale if is_stale else found.running).append(view)
    return found


def at_work(session: Session, attempt: Attempt) -> bool:
    """True when this attempt is queued or running, and has been heard of: a crash does not leave it behind."""
    if attempt.state not in ("queued", "running") or attempt.is_interrupted:
        return False
    folder = session.layout.attempt(attempt.experiment, attempt.n)
    return not is_quiet(running_view(attempt, folder), folder, patience_s=session.config.run.stale_after_s)


def running_view(attempt: Attempt, folder: AttemptFolder) -> RunningView:
    record = records.read_record(str(folder.supervisor)) or {}
    return RunningView(
        attempt.experiment,
        attempt.n,
        stage_of(folder, record),
        round(seconds_since(attempt.created_at), 1),
        heartbeat_age(folder),
    )


def stage_of(folder: AttemptFolder, record: dict[str, Any]) -> str:
    """The supervisor's own word; `finished` means that its result waits to be taken in."""
    if folder.result.exists():
        return "finished"
    stage = record.get("stage")
    return stage if isinstance(stage, str) else "queued"


def heartbeat_age(folder: AttemptFolder) -> float | None:
    try:
        return round(max(0.0, time.time() - folder.heartbeat.lstat().st_mtime), 1)
    except FileNotFoundError:
        return None


def is_quiet(view: RunningView, folder: AttemptFolder, *, patience_s: float) -> bool:
    """True when nothing was heard for `patience_s`, or the supervisor is gone. A finished attempt is not quiet."""
    if view.stage == "finished":
        return False
    age = view.seconds if view.heartbeat_age_s is None else view.heartbeat_age_s
    return age > patience_s or supervisor_is_gone(folder)


def supervisor_is_gone(folder: AttemptFolder) -> bool:
    """By what the supervisor said of itself."""
    return is_gone((records.read_record(str(folder.supervisor)) or {}).get("process"))


def is_gone(process: object) -> bool:
    """True only where this machine can tell: it said who it is, here, and lives no more."""
    return isinstance(process, dict) and proc.is_here(process) and not proc.is_alive(process)


def loop_stand(session: Session) -> LoopStandView | None:
    """The last loop of the workspace, if there was one; `quiet` where it should run, and its process is gone or has
    not been heard of for a minute."""
    last = loops.last(session.db)
    if last is None:
        return None
    silence = why_quiet(session, json.loads(last.controller or "null")) if last.status == "running" else ""
    made, wanted = loops.made(session.db, last.id), last.options.experiments
    return LoopStandView(last.id, "quiet" if silence else last.status, made, wanted, silence or last.reason)


def why_quiet(session: Session, process: object) -> str:
    """What a loop that runs by its word is really at; empty where it was heard of lately."""
    pid = process.get("pid", "") if isinstance(process, dict) else ""
    if is_gone(process):
        return f"its process {pid} is gone; evo loop goes on"
    if is_beating(session.layout):
        return ""
    if isinstance(process, dict) and proc.is_here(process):
        return f"its process {pid} is there and has said nothing for a minute: kill -CONT {pid}, if it was stopped"
    return f"nothing was heard for a minute of its process {pid}, on another machine"
