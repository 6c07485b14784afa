"""`evo show EXP`."""

from __future__ import annotations

from evo.cli.options import Exp, leaf
from evo.domain.views import Reply
from evo.report.show import show_reply

app = leaf()


@app.command()
def show(exp: Exp) -> Reply:
    """evo show exp_0007

    One experiment, whole: recipe, score, difference to the parent with its 95 % interval, attempts, certificate, notes.
    """
    return show_reply(exp)
