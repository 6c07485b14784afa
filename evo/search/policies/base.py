"""The protocol of a search policy: from a tree and what is believed about it to the parents of the next runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Protocol

from evo.lightdata import dataclass
from evo.search.posterior import Posterior
from evo.search.ranking import UcbRules
from evo.search.tree import ROOT, Tree

if TYPE_CHECKING:
    import random


class ItemLeaders:
    """For each dev item the nodes that do best on it. Results are direction-adjusted, in the same item order."""

    def __init__(self) -> None:
        self.best: list[float] = []
        self.holders: list[list[int]] = []

    def add(self, i: int, results: Sequence[float]) -> None:
        """Let node `i` compete; the first one sets the items."""
        if not self.best:
            self.best = list(results)
            self.holders = [[i] for _ in results]
            return
        for item, (result, best) in enumerate(zip(results, self.best, strict=True)):
            if result > best:
                self.best[item] = result
                self.holders[item] = [i]
            elif result == best:
                self.holders[item].append(i)


@dataclass(frozen=True)
class View:
    """What a policy may look at, and may not change.

    `budget` is the number of runs in all, where one was named; `leaders` is there when the policy `needs_items`.
    """

    tree: Tree
    posterior: Posterior
    rules: UcbRules
    budget: int | None
    leaders: ItemLeaders | None


class Policy(Protocol):
    """Names k parents, repeats allowed. Only candidates are named, and every random draw comes from `rng`, so that
    the same view and seed give the same answer. What a pick adds to the crowd at a node counts for the next pick of
    the same call; the caller puts all k into `tree.pending` afterwards."""

    needs_items: ClassVar[bool]

    def pick(self, view: View, k: int, *, rng: random.Random) -> list[int]:
        """Indexes of k parents."""
        ...


def raw_gains(tree: Tree) -> list[float]:
    """Measured gains as they are; −inf where there is none."""
    return [float("-inf") if gain is None else gain for gain in tree.gain]


def candidates(tree: Tree) -> list[int]:
    """Indexes of the nodes that may be branched from. The root always is one."""
    return [i for i, fits in enumerate(tree.is_candidate) if fits]


def children_of(tree: Tree) -> list[list[int]]:
    """For every node the indexes of its children, in order of arrival."""
    children: list[list[int]] = [[] for _ in tree.ids]
    for i in range(ROOT + 1, len(tree)):
        children[tree.parent[i]].append(i)
    return children
