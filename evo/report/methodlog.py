"""The method log: what each experiment was made of, in the words that an agent needs when its memory was cut.

Invariant: lines are made from what is stored: dataset, method, the person's constraints, hyperparameters. Each attempt
keeps its own page, with the constraints that held when it began.
"""

from __future__ import annotations

from evo.domain.agent_views import MethodLogView
from evo.domain.experiment import ROOT, Experiment
from evo.domain.views import Reply
from evo.session import Session, open_session
from evo.store import experiments, listings, methods
from evo.workspace.mission import read_mission

WIDEST = 240
"""Characters of one experiment's line."""


def line_of(session: Session, experiment: Experiment, *, constraints: str) -> str:
    """One line. `constraints`: those that hold now; others are told where an attempt began under them."""
    data, made = methods.data_of(session.db, experiment), methods.method_of(experiment)
    parts = [f"data {data}", made, methods.hyperparameters(experiment)]
    if was := _constraints_then(session, experiment):
        now = methods.on_one_line(constraints)
        parts.insert(2, "constraints as now" if was == now else f"constraints then: {was[:60]}")
    if experiment.insight:
        parts.append(f"learnt: {experiment.insight}")
    score = f" {experiment.score_mean:.3f}" if experiment.score_mean is not None else ""
    line = " ".join(f"{experiment.id} {experiment.state}{score} | {' | '.join(parts)}".split())
    return line if len(line) <= WIDEST else line[: WIDEST - 1] + "…"


def _constraints_then(session: Session, experiment: Experiment) -> str:
    """As the newest attempt's page has them; empty where there is none."""
    home = session.layout.attempt(experiment.id, 1).root.parent
    for number in range(9, 0, -1):
        try:
            text = (home / str(number) / methods.NAME).read_text(encoding="utf-8")
        except OSError:
            continue
        found = (line for line in text.splitlines() if line.startswith("- constraints: "))
        return next(found, "").removeprefix("- constraints: ")
    return ""


def newest_lines(session: Session, *, limit: int, constraints: str) -> MethodLogView:
    """Of the newest experiments, oldest first."""
    found = [one for one in listings.newest(session.db, limit=limit + 1) if one.id != ROOT]
    lines = [line_of(session, one, constraints=constraints) for one in reversed(found[:limit])]
    return MethodLogView(lines, truncated=len(found) > limit)


def reply(identifier: str | None, *, limit: int) -> Reply:
    """`evo log --method`: of one experiment, its page; else a line for each of the newest."""
    with open_session(readonly=True) as session:
        constraints = read_mission(session.layout.root).constraints
        if identifier is None:
            return Reply(newest_lines(session, limit=limit, constraints=constraints))
        experiment = experiments.get(session.db, identifier)
        return Reply(
            MethodLogView(
                methods.page_of(session.db, experiment, constraints=constraints).splitlines(), truncated=False
            )
        )
