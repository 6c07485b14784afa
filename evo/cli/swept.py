"""The reply of `sync`, `wait` and `recover`."""

from __future__ import annotations

from evo.domain.upkeep_views import SweptView
from evo.domain.views import Hint, Reply
from evo.errors import EvoError
from evo.ops.lifecycle import Swept


def swept_reply(swept: Swept, *, failure: EvoError | None = None) -> Reply:
    failures = {o.experiment: o.failure.message for o in swept.outcomes if o.failure is not None}
    view = SweptView(
        stored=swept.stored,
        owed=swept.trained,
        lost=swept.lost,
        running=swept.running,
        interrupted=swept.interrupted,
        messages={o.experiment: o.message for o in swept.outcomes if o.failure is None},
        failures=failures,
    )
    hints = [Hint(f"evo run {name}", "its evaluation is owed; no attempt is spent") for name in swept.trained]
    hints += [Hint(f"evo run {name}", "its attempt was lost and does not count") for name in swept.lost]
    hints += [
        Hint(f"evo run {name}", "it goes on at its last checkpoint; no attempt is spent") for name in swept.interrupted
    ]
    hints += [Hint(f"evo show {name}", "its score came in") for name in swept.stored]
    warnings = [*swept.charged, *(w for outcome in swept.outcomes for w in outcome.warnings)]
    return Reply(view, tuple(hints), tuple(warnings), failure)
