"""Where the work stands: task definition, base evaluation, local diagnosis, evidence-guided exploration.

Invariant: the stage follows from stored facts and nobody declares it; a later one is not reached before the earlier
ones are done, and evidence from outside is not asked for while local ideas still move the score.
"""

from __future__ import annotations

from evo.data import seal
from evo.domain.agent_views import StageView
from evo.domain.experiment import ROOT
from evo.session import Session
from evo.store import experiments, forecasts, nodes

EXPLORATION = 3
STALLED = 3
"""So many scored experiments in a row without a new best: local ideas have stalled."""


def stage_of(session: Session) -> StageView:
    """The present stage, and what it asks for."""
    is_scalar = session.config.eval.mode == "scalar"
    if not session.heldout_hash and not is_scalar and not seal.manifest_path(session.layout.root).exists():
        return StageView(0, "task definition", "no items are sealed: evo data seal --gold FILE, and say the goal")
    if experiments.get(session.db, ROOT).score_mean is None:
        return StageView(1, "base evaluation", f"{ROOT} has no score, and every gain is counted from it")
    failed = forecasts.last_failure(session.db)
    again = f"the last attempt failed ({failed}): the stage is repeated; " if failed else ""
    since = nodes.since_best(session.db, session.epoch or "")
    if since < STALLED:
        why = "read what the best one gets wrong, change one thing, and measure it"
        return StageView(2, "local diagnosis", again + why, repeated=bool(failed))
    why = (
        f"{since} scored experiments in a row brought no new best: look beyond this tree (literature, other techniques)"
    )
    return StageView(EXPLORATION, "evidence-guided exploration", again + why, repeated=bool(failed))
