"""One kind sentence about an experiment: what happened, and what it means for the next step.

Invariant: it repeats stored facts only; of a held-out question it knows the answer and the look.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from evo.domain.attempt import Attempt
from evo.domain.experiment import ROOT, Experiment, Standing
from evo.evidence import Standpoint, unfit, why_gate_is_off
from evo.report.live import at_work, running_view
from evo.session import Session
from evo.store import gate_rows


class Facts(NamedTuple):
    """What is known of the experiment; `stand` is None where its score does not count in the present epoch."""

    session: Session
    experiment: Experiment
    tries: list[Attempt]
    stand: Standpoint | None


def sentence(session: Session, experiment: Experiment, tries: list[Attempt], *, stand: Standpoint | None) -> str:
    live = next((attempt for attempt in tries if attempt.outcome is None), None)
    if live is not None:
        return _while_live(session, live)
    return _BY_STATE[experiment.state](Facts(session, experiment, tries, stand))


def _while_live(session: Session, live: Attempt) -> str:
    if live.state == "trained":
        return f"attempt {live.n} is trained; its evaluation is owed: evo run {live.experiment} costs no attempt"
    if live.is_interrupted:
        return f"attempt {live.n} was {live.message}; evo run {live.experiment} goes on from there, no attempt is spent"
    if not at_work(session, live):
        return f"attempt {live.n} has gone quiet: evo recover takes in or ends what is left of it"
    view = running_view(live, session.layout.attempt(live.experiment, live.n))
    if view.stage == "finished":
        return f"attempt {live.n} has finished: evo sync takes it in"
    return f"attempt {live.n} is {view.stage}, {view.seconds:.0f} s after its start"


def _pending(facts: Facts) -> str:
    return f"not run yet: evo run {facts.experiment.id}"


def _failed(facts: Facts) -> str:
    cap, tries, experiment = facts.session.config.max_attempts, facts.tries, facts.experiment
    used = sum(attempt.counts and attempt.seed == experiment.seed for attempt in tries)
    why = f" ({tries[-1].failure})" if tries and tries[-1].failure else ""
    if used < cap:
        return f"failed{why}: {used} of {cap} attempts used, so it may be run again"
    return f"failed{why}: all {cap} attempts are used; discard it and branch from {experiment.parent}"


def _contaminated(facts: Facts) -> str:
    return f"contaminated: {facts.experiment.state_reason or 'its data holds evaluation items'}"


def _discarded(facts: Facts) -> str:
    experiment = facts.experiment
    because = f"{experiment.state_class or 'no class'}: {experiment.state_reason}"
    return f"given up ({because}); evo restore {experiment.id} takes it back"


def _committed(facts: Facts) -> str:
    experiment = facts.experiment
    if experiment.id == ROOT:
        unscored = f", not scored yet: evo run {ROOT}" if experiment.score_mean is None else ""
        return "the untouched base model" + unscored
    found = gate_rows.certificate_of(facts.session.db, experiment.id)
    if found is None:
        return "committed"
    return f"committed: certified against {found.against} (look {found.look} of {facts.session.config.gate.looks})"


def _open(facts: Facts) -> str:
    experiment = facts.experiment
    if experiment.is_regressed:
        return f"open, not evaluated: {experiment.state_reason}; evo run {experiment.id} evaluates it all the same"
    return f"kept: open, a legal parent; {next(_why_no_certificate(facts))}"


def _why_no_certificate(facts: Facts) -> Iterator[str]:
    """Reasons, the weightiest first."""
    session, experiment, stand = facts.session, facts.experiment, facts.stand
    if stand is None:
        yield f"its score is of an older epoch: evo rescore {experiment.id}"
        return
    if off := why_gate_is_off(session):
        yield off
    own = unfit(session, experiment)
    if own:
        yield own
    asked = gate_rows.certificate_of(session.db, experiment.id)
    if asked is not None:
        yield f"not certified against {asked.against} (look {asked.look} of {session.config.gate.looks})"
    if stand.target == stand.reference:
        yield f"{stand.reference} is still the best by what dev shows"
    if stand.obstacle:
        yield (
            stand.obstacle
            if stand.target == experiment.id
            else f"{stand.target} is the best node, and {stand.obstacle}"
        )
    measure = f"evidence {stand.verdict.evidence:.1f} of {stand.verdict.needed:.3f}"
    if stand.target != experiment.id:
        yield f"the best node by what dev shows is {stand.target} ({measure})"
    if stand.verdict.ask:
        yield f"the evidence asks for a certificate ({measure}): evo certify {experiment.id}"
    yield stand.verdict.reason


_BY_STATE: dict[Standing, Callable[[Facts], str]] = {
    "pending": _pending,
    "failed": _failed,
    "contaminated": _contaminated,
    "discarded": _discarded,
    "committed": _committed,
    "open": _open,
}
