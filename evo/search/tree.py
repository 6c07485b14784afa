"""The tree of experiments as the search sees it: columns of plain numbers, parents before children.

Invariant: index 0 is the root (gain 0 by definition, always a candidate), `parent[i] < i` for every other node, and
nothing here recurses: a chain of 100,000 nodes is an ordinary tree.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from evo.errors import UsageError

Outcome = Literal["scored", "failed", "pending"]
ROOT = 0
NOWHERE = -1

_NUMBERED = re.compile(r"(?:exp_)?(\d+)")


class SearchNode(NamedTuple):
    """One experiment. Gains are paired mean dev differences to the root of this epoch, direction-adjusted, in units.

    `gain` and `variance` (s_k², see `Sighting`) are None for what does not count in this epoch: a node that is pending,
    failed, contaminated or scored under another evaluation. `is_candidate` is false for what informs and
    may not be branched from (discarded). `hours` is the predicted GPU time of one child of this node.
    """

    id: str
    parent: str | None
    outcome: Outcome
    gain: float | None
    variance: float | None
    is_candidate: bool
    hours: float | None


class Sighting(NamedTuple):
    """What dev says of one node: its gain over the root, how sure that is, and the root's own share of the noise."""

    gain: float
    variance: float
    root_half: float


def sighting(
    node: Sequence[float], root: Sequence[float], *, sigma_run: float, seeds: int, floor: float | None = None
) -> Sighting:
    """y_k and s_k² = max(Var d, 1/n)/(2n) + σ_run²/seeds from per-item results in the same item order (DESIGN §9).

    Var d with ddof 1; `floor` stands for 1/n where the results are no answers to single items.
    """
    n = len(root)
    if n == 0 or len(node) != n:
        raise UsageError(f"{len(node)} dev results for {n} dev items", hint="give one result for each dev item")
    differences = [ours - base for ours, base in zip(node, root, strict=True)]
    gain = math.fsum(differences) / n
    spread = math.fsum((d - gain) ** 2 for d in differences) / (n - 1) if n > 1 else 0.0
    variance = max(spread, 1.0 / n if floor is None else floor) / (2 * n) + sigma_run**2 / seeds
    return Sighting(gain, variance, spread / (2 * n))


def id_key(identifier: str) -> tuple[int, int, str]:
    """Sorts `exp_0010` after `exp_0009` and "10" after "9"; any other name after those, as text."""
    match = _NUMBERED.fullmatch(identifier)
    return (0, int(match[1]), identifier) if match else (1, 0, identifier)


class Tree:
    """Columns over nodes; `tried` counts scored and failed children, `pending` those being run or handed out."""

    def __init__(self, root: SearchNode) -> None:
        if root.parent is not None:
            raise UsageError(f"{root.id} has the parent {root.parent} and cannot be the root")
        self.ids = [root.id]
        self.index = {root.id: ROOT}
        self.parent = [NOWHERE]
        self.depth = [0]
        self.gain: list[float | None] = [0.0]
        self.variance = [0.0]
        self.anchor = [ROOT]
        """The nearest node upwards, itself included, that has a gain."""
        self.tried = [0]
        self.pending = [0]
        self.is_candidate = [True]
        self.hours: list[float | None] = [root.hours]

    @classmethod
    def grow(cls, nodes: Iterable[SearchNode]) -> Tree:
        """A tree from rows in any order. UsageError names a second root, a double id, a missing parent, a cycle."""
        rows = _parents_first(list(nodes))
        tree = cls(rows[0])
        for row in rows[1:]:
            tree.add(row)
        return tree

    def __len__(self) -> int:
        return len(self.ids)

    def at(self, identifier: str) -> int:
        """The index of a node; UsageError when there is none."""
        found = self.index.get(identifier)
        if found is None:
            raise UsageError(f"no node {identifier!r} in the tree", hint=f"{len(self)} nodes are known")
        return found

    def add(self, node: SearchNode) -> int:
        """Append a node whose parent is already here; its index."""
        if node.id in self.index:
            raise UsageError(f"node {node.id!r} is already in the tree", hint="ids are given once")
        if node.parent is None:
            raise UsageError(f"a second root: {node.id!r}", hint=f"the root is {self.ids[ROOT]!r}")
        above = self.at(node.parent)
        variance = math.inf if node.gain is None else _checked(node)
        i = len(self.ids)
        self.anchor.append(self.anchor[above] if node.gain is None else i)
        self.variance.append(variance)
        self.ids.append(node.id)
        self.index[node.id] = i
        self.parent.append(above)
        self.depth.append(self.depth[above] + 1)
        self.gain.append(node.gain)
        self.tried.append(0)
        self.pending.append(0)
        self.is_candidate.append(node.is_candidate)
        self.hours.append(node.hours)
        if node.outcome == "pending":
            self.pending[above] += 1
        else:
            self.tried[above] += 1
        return i

    def hold(self, i: int) -> None:
        """A child of `i` was handed out to a worker."""
        self.pending[i] += 1

    def release(self, i: int) -> None:
        """A handed-out child of `i` came back, or was given up. Never below zero: nobody need ask before telling."""
        self.pending[i] = max(0, self.pending[i] - 1)


def _checked(node: SearchNode) -> float:
    """The variance of a node that has a gain."""
    gain, variance = node.gain, node.variance
    if gain is None or variance is None or not math.isfinite(gain) or not 0 < variance < math.inf:
        raise UsageError(f"node {node.id!r}: gain {gain} with variance {variance}", hint="both finite, variance > 0")
    return variance


def _parents_first(rows: list[SearchNode]) -> list[SearchNode]:
    """The rows as they are if every parent comes first, else breadth first from the root."""
    seen: set[str | None] = {None}
    for row in rows:
        if row.parent not in seen:
            break
        seen.add(row.id)
    else:
        if rows:
            return rows
    children: dict[str | None, list[SearchNode]] = {}
    for row in rows:
        children.setdefault(row.parent, []).append(row)
    ordered = list(children.get(None, ()))
    for row in ordered:
        ordered.extend(children.pop(row.id, ()))
    if len(ordered) < len(rows) or not rows:
        placed = {row.id for row in ordered}
        lost = next((f"{row.id!r} (parent {row.parent!r})" for row in rows if row.id not in placed), "the root")
        raise UsageError(f"the tree does not hang together: no way from the root to {lost}", hint="try `evo fsck`")
    return ordered
