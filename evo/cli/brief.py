"""evo brief."""

from __future__ import annotations

from evo.cli.options import leaf
from evo.domain.views import Reply
from evo.report.brief import brief_reply

app = leaf()


@app.command()
def brief() -> Reply:
    """evo brief

    One bounded page: goal, constraints word for word, directions, budget, best, frontier, failures, what to do next.
    """
    return brief_reply()
