"""`evo frontier`: the nodes worth branching from, by any policy.

Invariant: what runs now counts as pending, and nothing is written; the same seed gives the same picks.
"""

from __future__ import annotations

from evo.beliefs import form_beliefs, pick_parents
from evo.domain.views import FrontierView, Hint, Reply
from evo.session import open_session


def frontier_reply(*, policy: str | None, k: int, seed: int | None) -> Reply:
    with open_session(readonly=True) as session:
        search = session.config.search
        picks = pick_parents(session, form_beliefs(session), k=k, policy=policy, seed=seed)
        view = FrontierView(policy or search.policy, picks, search.seed if seed is None else seed)
    next = tuple(Hint(f"evo show {pick.id}", "the first pick") for pick in picks[:1])
    return Reply(view, next=next)
