"""Who may propose: a source is asked for one brief at a time and answers with ideas that nobody has checked yet."""

from __future__ import annotations

from typing import Protocol

from evo.domain.idea import Brief, Idea
from evo.ideas.facts import Facts


class Source(Protocol):
    """`evo.ops.ideas.ideate` judges its ideas like everybody's: validated, set against the tree, ranked, recorded.

    It raises nothing that stops the others: what it cannot reach, it says in `warnings` and proposes nothing.
    """

    name: str
    warnings: list[str]

    def propose(self, facts: Facts, brief: Brief) -> list[Idea]: ...
