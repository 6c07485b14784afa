"""`evo ideate`: ask every source for a brief, keep what is legal and new, rank it, record it.

Invariant: an idea that is recorded has a patch that its recipe accepts and is no experiment of the tree; what one
source cannot do does not stop the others.
"""

from __future__ import annotations

from collections.abc import Sequence

from evo.domain.idea import Brief, RecordedIdea
from evo.ideas.source import Source
from evo.session import Session
from evo.store import ideas as store


def ideate(
    session: Session, brief: Brief, k: int = 5, *, sources: Sequence[Source] | None = None
) -> list[RecordedIdea]:
    """The best `k` ideas, best first, recorded as open. `sources`: beside the rules; None: what the workspace has."""
    return store.add(session.db, [])[:k]
