"""evo sync."""

from __future__ import annotations

from evo.cli.options import leaf
from evo.cli.progress import progress
from evo.cli.swept import swept_reply
from evo.domain.views import Reply
from evo.ops import lifecycle
from evo.session import open_session

app = leaf()


@app.command()
def sync() -> Reply:
    """evo sync

    Take in whatever has finished since: detached runs, and runs whose controller went away.
    """
    with open_session() as session, progress() as on_tick:
        return swept_reply(lifecycle.sync(session, on_tick))
