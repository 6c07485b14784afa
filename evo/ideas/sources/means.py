"""What a source of ideas is given: the settings, the purse, the libraries, and what makes a patch legal.

Invariant: nothing of held-out or the vault is within its reach, and no money or token is spent past the purse.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

from evo.config import IdeasConfig
from evo.ideas.bibliography import Bibliography
from evo.ideas.knowledge import KnowledgeBase
from evo.ideas.prices import Usage


class Room(NamedTuple):
    """What is left of the caps; None: there is no cap."""

    tokens: float | None = None
    usd: float | None = None

    def half(self) -> Room:
        return Room(*(None if left is None else left / 2 for left in self))


class Purse(Protocol):
    """Reserved before, charged after; between them nobody else can spend it."""

    def room(self) -> Room: ...

    def reserve(self, what: str, most: Usage, *, model: str) -> int:
        """BudgetSpent where it does not fit; Refused where its price cannot be known under a cap on money."""

    def ask(self, entry: int, *, is_asked: bool = True) -> None:
        """The request is about to leave, and may be billed whatever becomes of this process; or was refused."""

    def charge(self, entry: int, came_to: Usage, *, model: str) -> None: ...


class Means(NamedTuple):
    """`legal` reads the settings of a recipe (`name -> text`) as values, or raises UsageError with the reason."""

    config: IdeasConfig
    purse: Purse
    library: Bibliography
    base: KnowledgeBase
    legal: Callable[[str, Mapping[str, str]], dict[str, Any]]
