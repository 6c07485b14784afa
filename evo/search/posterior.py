"""The exact posterior of the true gains: a Gaussian walk down the tree, seen through noise (DESIGN §9).

A child k of p has x_k ~ N(x_p + μ, τ²); the root is x = 0; a scored node shows y_k ~ N(x_k, s_k²). The model is a
tree, so one pass up and one pass down are exact. Up goes each node's information from itself and below, as precision
P and as h = P·mean. Given its parent, x_k = a·x_p + b + N(0, w) with a = 1/(1 + Pτ²), w = aτ², b = aμ + wh: down is
one line per node, and one more result changes P and h only on its own way to the root.

Invariant: `mean` and `variance` are those of the dense formula, whether the tree came whole or node by node.
"""

from __future__ import annotations

import math
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from evo.search.tree import ROOT, Tree

if TYPE_CHECKING:
    import random

JUMP = 3.0
"""An edge whose surprise exceeds this many standard deviations is a jump with a variance of its own."""
SETTLED = 1e-15
"""A message that moves by less than this, relative to itself, moves nothing above it."""


class Prior(NamedTuple):
    """Drift μ and standard deviation τ of one edge, in units."""

    mu: float
    tau: float


class Difference(NamedTuple):
    mean: float
    variance: float


class Posterior:
    """Lists over the tree's nodes; what the tree gained since the last look is taken in at the next."""

    def __init__(self, tree: Tree, prior: Prior) -> None:
        self.tree = tree
        self.prior = prior
        self._spread = [0.0]
        self._precision = [0.0]
        self._information = [0.0]
        self._a = [1.0]
        self._b = [0.0]
        self._w = [0.0]
        self._mean = [0.0]
        self._variance = [0.0]
        self._open_nodes(len(tree))
        self._pass_up()

    @property
    def mean(self) -> list[float]:
        """m: the shrunken estimate of every node's gain over the root."""
        self._refresh()
        return self._mean

    @property
    def variance(self) -> list[float]:
        """S_ii: what remains unknown about it."""
        self._refresh()
        return self._variance

    def covariance(self, i: int, j: int) -> float:
        """S_ij, by climbing from both nodes to where they meet."""
        self._refresh()
        parent, depth = self.tree.parent, self.tree.depth
        carried = 1.0
        while i != j:
            if depth[i] < depth[j]:
                i, j = j, i
            carried *= self._a[i]
            i = parent[i]
        return carried * self._variance[i]

    def difference(self, i: int, j: int) -> Difference:
        """Mean and variance of x_i − x_j."""
        variance = self.variance[i] + self.variance[j] - 2.0 * self.covariance(i, j)
        return Difference(self.mean[i] - self.mean[j], max(0.0, variance))

    def draw(self, rng: random.Random) -> list[float]:
        """One world: true gains of all nodes, drawn together from the posterior."""
        self._extend()
        world = [0.0]
        rows = zip(self.tree.parent, self._a, self._b, self._w, strict=True)
        for above, a, b, w in islice(rows, 1, None):
            world.append(a * world[above] + b + math.sqrt(w) * rng.gauss(0.0, 1.0))
        return world

    def _extend(self) -> None:
        """Take in the tree's new nodes, each at the cost of its way to the root, or less."""
        for i in range(len(self._a), len(self.tree)):
            self._open_nodes(i + 1)
            self._close(i)
            self._send_up(i, 0.0, 0.0)

    def _open_nodes(self, until: int) -> None:
        """Append each node's own evidence, the variance of its edge, and places for its messages."""
        tree = self.tree
        for i in range(len(self._spread), until):
            gain = tree.gain[i]
            self._spread.append(self._edge_variance(i, gain))
            certainty = 0.0 if gain is None else 1.0 / tree.variance[i]
            self._precision.append(certainty)
            self._information.append(0.0 if gain is None else certainty * gain)
        missing = until - len(self._a)
        for column in (self._a, self._b, self._w):
            column.extend([0.0] * missing)

    def _edge_variance(self, i: int, gain: float | None) -> float:
        """τ², or e² where first fine-tuning or collapse makes the step no walk at all.

        Where the parent has no gain in this epoch, the step is measured from the nearest ancestor that has one.
        """
        mu, tau = self.prior
        ordinary = tau * tau
        if gain is None:
            return ordinary
        tree = self.tree
        above = tree.anchor[tree.parent[i]]
        steps = tree.depth[i] - tree.depth[above]
        surprise = gain - (tree.gain[above] or 0.0) - steps * mu
        known = steps * ordinary + tree.variance[i] + tree.variance[above]
        return surprise * surprise if surprise * surprise > JUMP * JUMP * known else ordinary

    def _pass_up(self) -> None:
        """Every message at once, children before parents."""
        mu = self.prior.mu
        parent, spread = self.tree.parent, self._spread
        precision, information = self._precision, self._information
        for i in range(len(parent) - 1, ROOT, -1):
            p, h, s, above = precision[i], information[i], spread[i], parent[i]
            a = 1.0 / (1.0 + p * s)
            w = a * s
            self._a[i], self._b[i], self._w[i] = a, a * mu + w * h, w
            precision[above] += p * a
            information[above] += (h - p * mu) * a

    def _close(self, i: int) -> None:
        spread = self._spread[i]
        a = 1.0 / (1.0 + self._precision[i] * spread)
        self._a[i], self._w[i] = a, a * spread
        self._b[i] = a * self.prior.mu + a * spread * self._information[i]

    def _send_up(self, i: int, old_precision: float, old_information: float) -> None:
        """Replace what `i` told its parent, and so on upwards until nothing moves any more."""
        mu = self.prior.mu
        parent, precision, information = self.tree.parent, self._precision, self._information
        while True:
            above = parent[i]
            new_precision = precision[i] * self._a[i]
            new_information = (information[i] - precision[i] * mu) * self._a[i]
            up, across = new_precision - old_precision, new_information - old_information
            if above == ROOT or (abs(up) <= SETTLED * new_precision and abs(across) <= SETTLED * abs(new_information)):
                return
            old_precision = precision[above] * self._a[above]
            old_information = (information[above] - precision[above] * mu) * self._a[above]
            precision[above] += up
            information[above] += across
            self._close(above)
            i = above

    def _refresh(self) -> None:
        """One pass down, when there is something new."""
        self._extend()
        if len(self._mean) == len(self._a):
            return
        mean, variance = [0.0], [0.0]
        add_mean, add_variance = mean.append, variance.append
        rows = zip(self.tree.parent, self._a, self._b, self._w, strict=True)
        for above, a, b, w in islice(rows, 1, None):
            add_mean(a * mean[above] + b)
            add_variance(w + a * a * variance[above])
        self._mean, self._variance = mean, variance
