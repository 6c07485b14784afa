"""`evo diagnose`: the tree judged by its own facts, and what is held back until somebody has looked.

Invariant: what fires is a finding of source `diagnose`, stored whenever a score comes in, so that reading it costs one
row; only findings of a diagnosis can be settled here, never those of a guard.
"""

from __future__ import annotations

import getpass

from evo.data.reader import read_items
from evo.diagnose.tree import SOURCE, Decisions, Move, Reached, Rewarded, Task, TreeFacts, diagnose
from evo.domain.experiment import ROOT, Experiment
from evo.domain.finding import Finding
from evo.domain.item import Item
from evo.errors import FileFormatError, NotFound, Refused, nearest
from evo.session import Session
from evo.store import experiments, findings, gate_rows, moves
from evo.store.findings import Recorded

SHOTS = "format"
"""Source of the finding that `evo diagnose --format` leaves."""
SETTLED_HERE = (SOURCE, SHOTS)
LAST_MOVES = 50
LAST_REWARDED = 3
NEWEST = 100
"""A reward that is older than so many scored experiments is no news of the tree."""


def tree_facts(session: Session) -> TreeFacts | None:
    """None before the baseline has a score of this epoch."""
    epoch, root = session.epoch, experiments.get(session.db, ROOT)
    if epoch is None or root.epoch != epoch:
        return None
    db, metric = session.db, session.metric
    technique = moves.latest_technique(db, epoch) or ""
    return TreeFacts(
        task=task_of(session, root),
        reached=[Reached(*row) for row in moves.techniques(db, epoch, sign=metric.sign)],
        technique=technique,
        moves=[Move(*row) for row in moves.of_technique(db, epoch, technique, limit=LAST_MOVES)],
        rewarded=[
            Rewarded(row.id, metric.sign * row.reward, row.score, row.se)
            for row in moves.rewarded(db, epoch, limit=LAST_REWARDED, among=NEWEST)
        ],
        decisions=decisions_of(session, epoch),
    )


def task_of(session: Session, root: Experiment) -> Task:
    config, metric = session.config, session.metric
    measured = next((found for found in findings.of(session.db, None, source=SHOTS, limit=1)), None)
    few_shot = None if measured is None else measured.finding.evidence.get("few_shot")
    return Task(
        low=metric.low,
        high=metric.high,
        sign=metric.sign,
        is_verifiable=config.eval.scorer != "rubric",
        chance=chance_of(session),
        has_model=bool(config.model.source),
        base=root.score_mean,
        base_se=root.score_se or 0.0,
        few_shot=few_shot if isinstance(few_shot, float) else None,
    )


def chance_of(session: Session) -> float | None:
    """What guessing scores: as evo.yaml says, else one in so many legal answers, where there are any."""
    config = session.config
    if config.diagnose.chance is not None:
        return config.diagnose.chance
    if config.eval.scorer != "choice" or config.eval.backend == "command":
        return None
    choices = set(config.eval.choices) or {item.target for item in dev_items(session) if item.target is not None}
    return 1 / len(choices) if len(choices) > 1 else None


def dev_items(session: Session) -> list[Item]:
    """Empty where the file is gone or broken: `evo data check` names the fault."""
    try:
        return read_items(session.layout.data / "dev.jsonl", needs_target=True)
    except (NotFound, FileFormatError):
        return []


def decisions_of(session: Session, epoch: str) -> Decisions:
    """The paired variance of a difference is twice what the posterior is given for one side of it, at most."""
    committed = gate_rows.last_committed(session.db)
    row = moves.decisions(session.db, epoch, after=committed)
    if row.best is None or row.gain is None:
        return Decisions(row.decided, row.items or 0, committed, committed)
    before = experiments.get(session.db, committed).gain or 0.0
    error = (2 * (row.gain_var or 0.0)) ** 0.5
    return Decisions(row.decided, row.items or 0, committed, row.best, row.gain - before, error)


def refresh(session: Session) -> list[Finding]:
    """Judge the tree anew and store what fires: after a score, and before anything is settled."""
    facts = tree_facts(session)
    found = [] if facts is None else diagnose(facts)
    known = {(one.finding.kind, one.finding.message) for one in of_tree(session) if not one.settled}
    if known != {(one.kind, one.message) for one in found}:
        findings.replace(session.db, SOURCE, found, experiment=None)
    return found


def of_tree(session: Session) -> list[Recorded]:
    return findings.of(session.db, None, source=SOURCE)


def acknowledge(session: Session, which: str, *, why: str = "") -> Recorded:
    """Settle an open finding of a diagnosis, named by kind or number, on record with who has looked.

    NotFound: nothing of that name is open. Refused: it is a finding of another check, which no word settles.
    """
    refresh(session)
    every = [one for source in SETTLED_HERE for one in findings.of(session.db, None, source=source)]
    known = [one for one in every if not one.settled]
    chosen = next((one for one in known if which in (one.finding.kind, str(one.id))), None)
    if chosen is None:
        refuse_foreign(session, which)
        hint = nearest(which, [one.finding.kind for one in known]) if known else "evo diagnose: nothing fires"
        raise NotFound(f"no open diagnosis {which!r}", hint=hint)
    said = f": {' '.join(why.split())}" if why.strip() else ""
    findings.settle(session.db, chosen.id, why=f"looked at by {user()}{said}")
    return chosen


def refuse_foreign(session: Session, which: str) -> None:
    """Guards are not talked out of what they found."""
    for one in findings.open_ones(session.db, severities=("block", "warn", "note"), limit=1000):
        if which == str(one.id) and one.finding.source not in SETTLED_HERE:
            source = one.finding.source
            raise Refused(f"finding {which} is of {source}, and is over when that check finds it no more")


def user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name
        return "somebody"
