"""`evo notes [EXP]`."""

from __future__ import annotations

from evo.cli.options import Limit, MaybeExp, leaf
from evo.domain.views import Reply
from evo.report.notes import notes_reply

app = leaf()


@app.command()
def notes(exp: MaybeExp = None, limit: Limit = 50) -> Reply:
    """evo notes exp_0007

    Notes and insights, newest first: of one experiment, or of all.
    """
    return notes_reply(exp, limit=limit)
