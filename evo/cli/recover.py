"""evo recover."""

from __future__ import annotations

from evo.cli.options import leaf
from evo.cli.progress import progress
from evo.cli.swept import swept_reply
from evo.domain.views import Reply
from evo.ops import lifecycle
from evo.session import open_session

app = leaf()


@app.command()
def recover() -> Reply:
    """evo recover

    After a crash: end processes that were left, store finished scores, name lost attempts, mend worktrees.
    """
    with open_session() as session, progress() as on_tick:
        lifecycle.mend(session)
        return swept_reply(lifecycle.sync(session, on_tick, go_on=False))
