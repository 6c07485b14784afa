"""`evo status`."""

from __future__ import annotations

from evo.cli.options import leaf
from evo.domain.views import Reply
from evo.report.status import status_reply

app = leaf()


@app.command()
def status() -> Reply:
    """evo status

    How the tree stands: counts, the best and the last committed experiment, looks, what runs, what is stale or owed.
    """
    return status_reply()
