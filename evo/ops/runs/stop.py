"""`evo stop`: training ends now, its best checkpoint is handed over and evaluated.

Invariant: asking twice changes nothing, and nothing is ended here: the page, or the attempt's supervisor, does that.
"""

from __future__ import annotations

from typing import NamedTuple

from evo.domain.attempt import Attempt
from evo.errors import Refused
from evo.runner import process, records
from evo.session import Session
from evo.store import attempts, experiments


class Stopped(NamedTuple):
    attempt: int
    message: str


def stop(session: Session, identifier: str) -> Stopped:
    """Ask the running attempt to finish. Refused where none is training, or none will ever have trained."""
    experiment = experiments.get(session.db, identifier)
    live = attempts.live_of(session.db, experiment.id)
    if live is None:
        raise Refused(f"{identifier} is not running", hint="evo status")
    if live.is_interrupted:
        said = f"{identifier} is not running: its attempt {live.n} was {live.message}"
        raise Refused(said, hint=f"evo run {identifier} goes on with it, evo abort {identifier} gives it up")
    folder = session.layout.attempt(identifier, live.n)
    stage = process.supervisor_record(folder.root).get("stage") if process.has_supervisor(folder.root) else None
    if live.state == "trained" or stage == "evaluating" or folder.result.exists():
        return Stopped(live.n, f"{identifier} attempt {live.n} has been trained already; evo wait {identifier}")
    refuse_idle(live, stage)
    records.touch(str(folder.stop))
    said = f"{identifier} attempt {live.n} ends its training now; its best checkpoint is kept and evaluated"
    return Stopped(live.n, f"{said}: evo wait {identifier}")


def refuse_idle(live: Attempt, stage: object) -> None:
    """Nothing trains that could hand anything over."""
    name = f"{live.experiment} attempt {live.n}"
    give_up = f"evo abort {live.experiment} ends it"
    if stage == "queued":
        raise Refused(f"{name} waits for its turn and has trained nothing yet", hint=give_up)
    if stage is None:
        raise Refused(f"{name} has gone quiet", hint=f"evo recover takes in or ends what is left of it; {give_up}")
