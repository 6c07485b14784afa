"""evo certify."""

from __future__ import annotations

from evo.cli.options import Exp, leaf
from evo.cli.progress import progress
from evo.domain.views import Hint, Reply
from evo.errors import Denied
from evo.ops import gating
from evo.session import open_session

app = leaf()


@app.command()
def certify(experiment: Exp) -> Reply:
    """evo certify exp_0007

    Ask the held-out question now. It costs one look; the answer is one bit.
    """
    with open_session() as session, progress() as on_tick:
        view = gating.certify(session, experiment, on_tick)
    denied = None if view.passed else Denied(f"{experiment} is not certified against {view.against}; it stays open")
    hint = Hint("evo release", "open the vault, once") if view.passed else Hint("evo next", "where to branch")
    return Reply(view, (hint,), failure=denied)
