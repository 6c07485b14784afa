"""Does the tree earn its keep? Policies on simulated worlds, through the same session that `evo search serve` holds.

    python benchmarks/search.py [--worlds small jumps null] [--policies NAME…] [--repeats 200] [--runs N] [--workers N]

A world draws a true gain for every node; a run shows per-item results. An item has a difficulty that all nodes share
(two nodes' latent answers correlate by .8, which makes about 20 % of the items discordant); dev and held-out have
200 items each, and a run adds its own luck of σ_run. Workers go in step. The gate, where it is on, is `certify`.

Columns, means over repeats: true gain of the released node (with the gate the last committed one; without it the one
of highest posterior mean for tree-ucb and thompson, of highest measured gain for the rest); its ratio to greedy and to
iid under the same gate, and to greedy without one, the rule of the older tools; optimism: what is believed of the best
node (posterior mean or measured gain) less its true gain; false: certificates of a candidate truly no better than its
reference, as a share of all certificates, and the share of searches that hold any; looks at held-out.
"""

from __future__ import annotations

import argparse
import math
import random
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, cast

from evo.config import GateConfig, SearchConfig
from evo.gate.decision import GateRules, Mode
from evo.ops.search_session import Methods, SearchSession, World
from evo.registry import TABLES, load
from evo.search import fidelity
from evo.search.policies.base import View, raw_gains
from evo.search.policies.tree_ucb import TreeUcb
from evo.search.posterior import Posterior, Prior
from evo.search.ranking import UcbRules, best_first, best_node
from evo.search.tree import SearchNode, Tree

BASE = 0.4
ITEMS = 200
SIGMA_RUN = 0.007
SHARED = 0.8
FIDELITY = 0.25
PARTIAL_PRICE = fidelity.ETA * FIDELITY + 1.0 - FIDELITY
"""In full runs: η partial runs, and the rest of the one that is resumed."""
EARLY = 0.7
"""Correlation of what a partial run has changed with the whole step, before it is read on dev."""
BELIEVERS = ("tree-ucb", "thompson")
PARTIAL = "tree-ucb+partial"


@dataclass(frozen=True)
class Land:
    """How true gains move along an edge: a walk; by chance a leap, once in a line of descent (the first
    fine-tuning that teaches the task); by chance a collapse."""

    name: str
    mu: float
    tau: float
    leap: float = 0.0
    leap_chance: float = 0.0
    collapse: float = 0.0
    collapse_chance: float = 0.0
    runs: int = 50
    workers: int = 4
    early: float = EARLY

    def step(self, rng: random.Random, *, has_leapt: bool) -> tuple[float, bool]:
        """The step of one edge, and whether it was the leap."""
        draw, walk = rng.random(), rng.gauss(self.mu, self.tau)
        if not has_leapt and draw < self.leap_chance:
            return self.leap + walk, True
        return walk - (self.collapse if draw >= 1.0 - self.collapse_chance else 0.0), False


LANDS = {
    "small": Land("small gains", mu=-0.002, tau=0.018),
    "jumps": Land("jumps and collapses", -0.002, 0.018, 0.40, 0.25, 0.35, 0.15, runs=30, workers=2),
    "null": Land("no gain at all", mu=0.0, tau=0.0),
}


@dataclass(frozen=True)
class Outcome:
    """One search in one world."""

    released: float
    optimism: float
    certificates: int
    false_certificates: int
    looks: int


class Simulation:
    """A world and its runs. Held-out results of a node are drawn once, when the gate first looks."""

    def __init__(self, land: Land, seed: int) -> None:
        self.land = land
        self.rng = random.Random(seed)
        self.difficulty = {split: [self.rng.gauss(0.0, 1.0) for _ in range(ITEMS)] for split in ("dev", "heldout")}
        self.true = {"0": 0.0}
        self.root = self._results(0.0, "dev")
        self._luck = {"0": 0.0}
        self._has_leapt = {"0": False}
        self._heldout: dict[str, list[float]] = {}

    def run(self, identifier: str, parent: str) -> list[float]:
        """Train a child; its dev results."""
        step, leaps = self.land.step(self.rng, has_leapt=self._has_leapt[parent])
        self.true[identifier] = self.true[parent] + step
        self._has_leapt[identifier] = leaps or self._has_leapt[parent]
        self._luck[identifier] = self.rng.gauss(0.0, SIGMA_RUN)
        return self._results(self.true[identifier] + self._luck[identifier], "dev")

    def early(self, identifier: str, parent: str) -> list[float]:
        """Dev results of the partial run of a child."""
        step = self.true[identifier] - self.true[parent]
        early = self.land.early
        rest = math.sqrt(1.0 - early**2) * self.land.tau * self.rng.gauss(0.0, 1.0)
        return self._results(self.true[parent] + early * step + rest, "dev")

    def heldout(self, identifier: str) -> list[float]:
        if identifier not in self._heldout:
            self._heldout[identifier] = self._results(self.true[identifier] + self._luck[identifier], "heldout")
        return self._heldout[identifier]

    def _results(self, gain: float, split: str) -> list[float]:
        """Right or wrong per item; the expected share right is BASE + gain, kept within .01 and .99."""
        threshold = statistics.NormalDist().inv_cdf(min(0.99, max(0.01, BASE + gain)))
        own, shared, gauss = math.sqrt(1.0 - SHARED), math.sqrt(SHARED), self.rng.gauss
        return [float(threshold + shared * z + own * gauss(0.0, 1.0) > 0.0) for z in self.difficulty[split]]


class Search:
    """One policy at work in one world."""

    def __init__(self, land: Land, policy: str, *, gate: str, seed: int) -> None:
        self.land, self.gate = land, gate
        self.is_partial = policy == PARTIAL
        self.policy = policy.removesuffix("+partial")
        self.simulation = Simulation(land, seed)
        world = World(seed, land.runs, ITEMS, SIGMA_RUN, "0", self.simulation.root)
        self.session = SearchSession(world, _methods(self.policy, gate))
        self._pairs: list[fidelity.Pair] = []
        self._names = map(str, range(1, 10**9))
        self._certificates = self._false = 0

    def outcome(self) -> Outcome:
        """Spend the budget, then look at what would be released."""
        left = float(self.land.runs)
        while left >= 1.0:
            width = min(self.land.workers, int(left / PARTIAL_PRICE))
            if width and self.is_partial and fidelity.is_worth_it(self._pairs):
                self._run_partially(self.session.ask(width))
                left -= width * PARTIAL_PRICE
            else:
                for parent in self.session.ask(min(self.land.workers, int(left))):
                    self._run(parent)
                    left -= 1.0
        session, true = self.session, self.simulation.true
        best, believed = self._best()
        released = best if self.gate == "none" else session.tree.ids[session.committed]
        looks = session.history.looks
        return Outcome(true[released], believed - true[best], self._certificates, self._false, looks)

    def _run(self, parent: str) -> None:
        child = next(self._names)
        self._tell(child, parent, self.simulation.run(child, parent))

    def _run_partially(self, parents: list[str]) -> None:
        """η partial runs for each pick, ranked together; as many as there were picks are resumed to the full run."""
        session, base = self.session, statistics.fmean(self.simulation.root)
        scored: dict[str, tuple[str, list[float], float]] = {}
        partials = []
        for i in fidelity.proposals([session.tree.at(parent) for parent in parents]):
            parent, child = session.tree.ids[i], next(self._names)
            above = base + (session.tree.gain[i] or 0.0)
            scored[child] = parent, self.simulation.run(child, parent), above
            early = statistics.fmean(self.simulation.early(child, parent)) - above
            partials.append(fidelity.Partial(child, session.posterior.mean[i], early))
        for parent in parents:
            session.tree.release(session.tree.at(parent))
        winners = fidelity.promoted(partials)
        for winner in winners:
            session.tree.hold(session.tree.at(scored[winner.id][0]))
        for winner in winners:
            parent, dev, above = scored[winner.id]
            self._pairs.append(fidelity.Pair(winner.gain, statistics.fmean(dev) - above))
            self._tell(winner.id, parent, dev)

    def _tell(self, child: str, parent: str, dev: list[float]) -> None:
        question = self.session.tell(child, parent, dev, cost=1.0)
        if question is None:
            return
        candidate, reference = question.candidate, question.reference
        heldout = self.simulation.heldout
        if self.session.decide(candidate, reference, heldout(candidate), heldout(reference)).passed:
            self._certificates += 1
            self._false += self.simulation.true[candidate] <= self.simulation.true[reference]

    def _best(self) -> tuple[str, float]:
        """The node that looks best to this policy, and the gain it is believed to have."""
        tree, posterior = self.session.tree, self.session.posterior
        if self.policy in BELIEVERS:
            i = best_node(tree, posterior)
            return tree.ids[i], posterior.mean[i]
        gains = raw_gains(tree)
        i = best_first(tree, gains, 1)[0]
        return tree.ids[i], gains[i]


def _methods(policy: str, gate: str) -> Methods:
    search, rules = SearchConfig(), GateConfig()
    return Methods(
        policy=load("policy", policy)(),
        prior=Prior(search.mu, search.tau),
        ucb=UcbRules(search.beta, search.kappa, search.kappa_cost),
        gate=GateRules(cast(Mode, gate), rules.alpha, rules.min_gain, rules.looks),
    )


HEAD = ("policy", "gate", "gain", "±se", "/greedy", "/iid", "/off", "optimism", "false", "any", "looks")
WIDTHS = "{:<17}{:<9}{:>6}{:>7}{:>9}{:>7}{:>7}{:>10}{:>7}{:>7}{:>7}"


def table(land: Land, policies: list[str], *, repeats: int) -> Iterator[str]:
    """The lines of one world's table. `/off` compares with greedy without a gate."""
    yield f"{land.name}: {repeats} searches of {land.runs} runs by {land.workers} workers"
    yield WIDTHS.format(*HEAD)
    off = None
    for gate in ("none", "certify"):
        found = {
            policy: [Search(land, policy, gate=gate, seed=seed).outcome() for seed in range(repeats)]
            for policy in policies
        }
        gains = {policy: statistics.fmean(one.released for one in found[policy]) for policy in policies}
        off = gains["greedy"] if off is None else off
        for policy in policies:
            against = [_ratio(gains[policy], other) for other in (gains["greedy"], gains["iid"], off)]
            yield WIDTHS.format(policy, gate, f"{gains[policy]:.3f}", *_columns(found[policy], against))


def _columns(outcomes: list[Outcome], against: list[str]) -> list[str]:
    """Everything right of the gain; dashes where no question was ever asked."""
    error = statistics.stdev(one.released for one in outcomes) / math.sqrt(len(outcomes))
    optimism = statistics.fmean(one.optimism for one in outcomes)
    seen = [f"{error:.3f}", *against, f"{optimism:+.3f}"]
    looks = statistics.fmean(one.looks for one in outcomes)
    if not looks:
        return [*seen, "–", "–", "–"]
    certificates = sum(one.certificates for one in outcomes)
    false = sum(one.false_certificates for one in outcomes)
    some = statistics.fmean(one.false_certificates > 0 for one in outcomes)
    return [*seen, f"{false / certificates:.3f}" if certificates else "–", f"{some:.3f}", f"{looks:.1f}"]


def _ratio(gain: float, other: float) -> str:
    """Two decimals; a dash where there is nothing to compare with."""
    return f"{gain / other:.2f}" if other > 0.002 else "–"


def picks(size: int) -> str:
    """One line: milliseconds for 8 picks of tree-ucb out of `size` rows, tree and posterior made anew; best of 5."""
    rng = random.Random(1)
    rows = [SearchNode("exp_0000", None, "scored", 0.0, None, True, None)]
    for i in range(1, size):
        parent = f"exp_{rng.randrange(i):04d}"
        rows.append(SearchNode(f"exp_{i:04d}", parent, "scored", rng.gauss(0.0, 0.03), 4e-4, True, None))
    spent = []
    for _ in range(5):
        begun = time.perf_counter()
        tree = Tree.grow(rows)
        grown = time.perf_counter()
        view = View(tree, Posterior(tree, Prior(-0.002, 0.018)), UcbRules(1.0, 0.004, 0.003), None, None)
        TreeUcb().pick(view, 8, rng=rng)
        spent.append((time.perf_counter() - grown, grown - begun))
    search, reading = (1000 * seconds for seconds in min(spent))
    return (
        f"picks from {size:,} nodes: {search:.0f} ms (posterior and 8 picks), {reading:.0f} ms before (rows to columns)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = ["greedy", "iid", *(name for name in TABLES["policy"] if name not in ("greedy", "iid")), PARTIAL]
    parser.add_argument("--worlds", nargs="+", choices=list(LANDS), default=list(LANDS))
    parser.add_argument("--policies", nargs="+", choices=known, default=known)
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--runs", type=int, help="runs per search, for every world")
    parser.add_argument("--workers", type=int, help="workers, for every world")
    parser.add_argument("--early", type=float, help="correlation of a partial run's true change with the full step")
    options = parser.parse_args()
    print(picks(10_000), picks(100_000), "", sep="\n", flush=True)
    begun = time.perf_counter()
    policies = ["greedy", "iid", *(name for name in options.policies if name not in ("greedy", "iid"))]
    changes: dict[str, Any] = {key: value for key in ("runs", "workers", "early") if (value := getattr(options, key))}
    for name in options.worlds:
        print(
            "\n".join(table(replace(LANDS[name], **changes), policies, repeats=options.repeats)), end="\n\n", flush=True
        )
    print(f"{time.perf_counter() - begun:.0f} s")


if __name__ == "__main__":
    main()
