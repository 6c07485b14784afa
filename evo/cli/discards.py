"""`evo discards`."""

from __future__ import annotations

from evo.cli.options import Limit, leaf
from evo.domain.views import Reply
from evo.report.lineage import discards_reply

app = leaf()


@app.command()
def discards(limit: Limit = 50) -> Reply:
    """evo discards

    What was given up, and why; newest first.
    """
    return discards_reply(limit=limit)
