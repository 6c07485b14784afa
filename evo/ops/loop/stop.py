"""When a loop ends: a target with a certificate, a number of experiments, rounds without gain, or never.

Invariant: only what the loop was told to stop at completes it; that it cannot go on (nothing left to try, everything
refused, the same failure again and again) is an error and is said so, in words of evo's own: they go to git.
"""

from __future__ import annotations

import re

from evo.domain.experiment import ROOT
from evo.domain.loop import LoopOptions, Pick
from evo.errors import Refused, UsageError
from evo.evidence import why_gate_is_off
from evo.session import Session
from evo.store import experiments, gate_rows

FAILURES_IN_A_ROW = 5
"""Failures alike after which a loop does not go on by itself; of different kinds, twice as many."""
MISS = 3
"""Rounds without gain after which something else is tried than the next step."""
POLICIES = "target, budget, stall:5 or never"
_STALL = re.compile(r"stall:([1-9]\d{0,3})")


def checked(session: Session, options: LoopOptions) -> LoopOptions:
    """UsageError where the stop policy is none, or could never be met."""
    until = options.until
    if until not in ("target", "budget", "never") and not _STALL.fullmatch(until):
        raise UsageError(f"--until {until!r}: not a stop policy", hint=POLICIES)
    if until == "target":
        if session.config.loop.target is None:
            raise UsageError("--until target: there is no target", hint="evo config set loop.target 0.8")
        refuse_without_gate(session)
    if until == "never" and options.experiments is not None:
        raise UsageError("--until never has no end: --experiments would be one", hint="leave one of the two out")
    return options


def refuse_without_gate(session: Session) -> None:
    """Before the baseline has its score nothing is known of held-out items; the loop asks again after it."""
    is_new = experiments.get(session.db, ROOT).score_mean is None and session.config.gate.mode != "none"
    if not is_new and (why := why_gate_is_off(session)):
        raise UsageError(f"--until target needs a certificate, and {why}", hint="--until budget")


def is_over(session: Session, options: LoopOptions, picks: list[Pick]) -> str:
    """Why the loop is done; empty where it goes on. Without a target no score ends it."""
    if options.until == "target" and (name := on_target(session)):
        return f"target {session.config.loop.target:g} reached by {name}, certified"
    made = made_by(picks)
    if options.experiments is not None and made >= options.experiments:
        missed = f"; target {session.config.loop.target:g} not reached" if options.until == "target" else ""
        return f"{made} experiment{'s' * (made != 1)} made{missed}"
    stall = _STALL.fullmatch(options.until)
    if stall is not None and rounds_without_gain(picks) >= int(stall[1]):
        return f"{stall[1]} rounds without gain"
    return ""


def made_by(picks: list[Pick]) -> int:
    """How many experiments are made or about to be."""
    return sum(pick.counts for pick in picks)


def barren(picks: list[Pick]) -> str:
    """Why a loop whose number is reached has not done what it was asked to: nothing that it made has a score."""
    made = [pick for pick in ended(picks) if pick.experiment is not None]
    if not made or any(pick.outcome == "scored" for pick in picks):
        return ""
    return f"{len(made)} experiments were made, and none has a score{failures(made)}"


def on_target(session: Session) -> str | None:
    """The last committed experiment, where its score is on the target's side."""
    last = gate_rows.last_committed(session.db)
    target, score = session.config.loop.target, experiments.get(session.db, last).score_mean
    if last == ROOT or target is None or score is None:
        return None
    return last if session.metric.sign * (score - target) >= 0 else None


def ended(picks: list[Pick]) -> list[Pick]:
    """In the order of their ends."""
    return sorted((pick for pick in picks if not pick.is_open), key=lambda pick: (pick.ended_at or "", pick.k))


def rounds_without_gain(picks: list[Pick]) -> int:
    """How many picks have ended since one was the best so far; what was refused before it ran is no round."""
    done = [pick for pick in ended(picks) if pick.outcome != "refused"]
    last = max((i for i, pick in enumerate(done, start=1) if pick.told.get("is_best")), default=0)
    return len(done) - last


def stuck(picks: list[Pick]) -> str:
    """What the last picks failed of; empty where one of them has a score, or they are few."""
    since = 0
    done = ended(picks)
    for pick in reversed(done):
        if pick.outcome == "scored":
            break
        since += 1
    latest = done[len(done) - since :]
    kinds = {str(pick.told.get("failure", "")) for pick in latest[-FAILURES_IN_A_ROW:]}
    if since < FAILURES_IN_A_ROW or (len(kinds) > 1 and since < 2 * FAILURES_IN_A_ROW):
        return ""
    if len(kinds) == 1:
        return f"the last {FAILURES_IN_A_ROW} experiments failed alike{failures(latest[-1:])}"
    return f"the last {since} experiments all failed{failures(latest)}"


def failures(picks: list[Pick]) -> str:
    """In brackets what they failed of, and where to read on."""
    kinds = sorted({str(pick.told.get("failure", pick.outcome)) for pick in picks})
    log = f"; evo log {picks[-1].experiment}" if picks[-1].outcome != "refused" else ""
    return f" ({', '.join(kinds)}){log}"


def blocked(why: str, picks: list[Pick], *, hint: str) -> Refused:
    """`why` goes to pages and git, so it quotes no log. What the last one that failed said, and where to read on, is in
    the hint."""
    told = [pick for pick in ended(picks) if pick.told.get("message")]
    lines = str(told[-1].told["message"]).strip().splitlines() if told else []
    words = [f"{told[-1].experiment or 'evo new'}: {lines[-1][:200]}"] if lines else []
    if told and told[-1].experiment is not None:
        words.append(f"evo {'log' if told[-1].told.get('logs') else 'run'} {told[-1].experiment}")
    return Refused(f"blocked: {why}", hint="; ".join([*words, hint]))
