"""evo lessons."""

from __future__ import annotations

from evo.cli.options import Limit, MaybeExp, leaf
from evo.domain.views import Hint, Reply
from evo.ops.ideas import lessons as ops
from evo.ops.ideas.facts import facts_of
from evo.session import open_session

app = leaf()


@app.command()
def lessons(exp: MaybeExp = None, limit: Limit = 50) -> Reply:
    """evo lessons exp_0003

    What was learnt that bears on the next child of an experiment (default: the best): ancestors, discarded siblings,
    similar experiments, and earlier workspaces.
    """
    with open_session(readonly=True) as session:
        facts = facts_of(session)
        view = ops.lessons(session, exp, limit=limit, facts=facts)
        ops.share(session, facts)
    hints = () if view.lessons else (Hint('evo note EXP --insight "one line"', "write what an experiment has shown"),)
    return Reply(view, hints)
