"""Training that was cut off, and the way on: the same attempt, in the same folder, from its last checkpoint.

Invariant: only what nobody ordered is resumed: a signal from outside, or the loss of supervisor, controller or machine.
An abort, a time-out and an exit code are ends. Whatever the run logged after its checkpoint is forgotten before it
trains on, so that no step is there twice.
"""

from __future__ import annotations

import os
import time

from evo.domain.attempt import MOST_RESUMES, Attempt
from evo.domain.job import AttemptFolder, Result
from evo.errors import Refused
from evo.files import read_json
from evo.recipe import checkpoints
from evo.runner import process
from evo.runner.recover import Finding
from evo.session import Session
from evo.store import record
from evo.store.record import Finished

_UNORDERED = ("signal", "out_of_memory", "stopped")
"""`stopped`: `evo stop` had to end a page that did not hand over in time; its checkpoints are good."""


def last_step(folder: AttemptFolder) -> int | None:
    """The step of the newest complete checkpoint."""
    found = checkpoints.newest_complete(folder.checkpoints)
    return None if found is None else checkpoints.step_of(found)


def interrupt(session: Session, attempt: Attempt, folder: AttemptFolder, finding: Finding) -> bool:
    """Leave the attempt live, to be gone on with, where its training was cut off and can go on. False where not."""
    step = last_step(folder)
    if step is None or attempt.resumes >= MOST_RESUMES or not was_cut_off(finding):
        return False
    seconds = seconds_trained(folder, finding.result)
    gpus = read_json(folder.job).get("gpus", 0) if folder.job.is_file() else 0
    why = finding.result.message.partition("\n")[0] if finding.result is not None else finding.why
    record.interrupt(
        session.db,
        attempt,
        message=f"interrupted at step {step}: {why}",
        train_seconds=seconds,
        gpu_seconds=gpus * seconds,
    )
    return True


def was_cut_off(finding: Finding) -> bool:
    """By what nobody ordered."""
    result = finding.result
    if result is None:
        return finding.kind == "lost"
    return (result.outcome, result.stage) == ("killed", "train") and result.failure in _UNORDERED


def seconds_trained(folder: AttemptFolder, result: Result | None) -> float:
    """As the supervisor measured it; where it was lost too, up to its last heartbeat."""
    if result is not None:
        return result.train_seconds or 0.0
    seen = process.supervisor_record(folder.root)
    age = process.heartbeat_age_s(folder.root)
    if seen.get("stage") != "training" or age is None or not isinstance(seen.get("since"), float):
        return 0.0
    return max(0.0, time.time() - age - float(seen["since"]))


def goes_on(session: Session, attempt: Attempt, content_hash: str, *, seed: int | None) -> bool:
    """Whether an interrupted attempt is taken up. False, and it is ended, where its content was changed meanwhile."""
    if seed is not None and seed != attempt.seed:
        raise Refused(
            f"attempt {attempt.n} of {attempt.experiment}, with seed {attempt.seed}, was {attempt.message}",
            hint=f"evo run {attempt.experiment} goes on with it, evo abort {attempt.experiment} gives it up",
        )
    if content_hash == attempt.content_hash:
        return True
    give_up(session, attempt, why="its content was changed before it could go on")
    return False


def give_up(session: Session, attempt: Attempt, *, why: str) -> None:
    """End an interrupted attempt, which counts as killed."""
    ended = Finished(
        attempt.experiment, attempt.n, attempt.token, "killed", failure="aborted", message=f"{attempt.message}; {why}"
    )
    record.finish(session.db, ended)


def make_ready(folder: AttemptFolder, *, resumes: int) -> None:
    """Forget what came after the checkpoint, and keep the log of the part before."""
    step = last_step(folder)
    checkpoints.forget_after(folder.root, -1 if step is None else step)
    if folder.train_log.exists():
        os.replace(folder.train_log, folder.train_log.with_name(f"train-{resumes}.log"))
