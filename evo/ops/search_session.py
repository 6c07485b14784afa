"""A search held in memory: who is branched from, what came back, and when the held-out question is asked.

It joins tree, posterior, policy and gate for everyone who brings the results himself: `evo search serve` and the
simulations. Invariant: a request that is refused changes nothing.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from evo.errors import Refused, UsageError
from evo.gate.asking import History, Question, after, alpha_of, judge, refusal, zeta
from evo.gate.decision import Comparison, Decision, GateRules, decide
from evo.gate.statistics import RunNoise
from evo.lightdata import dataclass
from evo.search.policies.base import ItemLeaders, Policy, View
from evo.search.posterior import Posterior, Prior
from evo.search.ranking import UcbRules, best_node
from evo.search.tree import ROOT, SearchNode, Tree, sighting


@dataclass(frozen=True)
class Methods:
    """How the session searches and judges."""

    policy: Policy
    prior: Prior
    ucb: UcbRules
    gate: GateRules


@dataclass(frozen=True)
class World:
    """What the session is told about the task. `budget` counts runs; None where nobody said."""

    seed: int
    budget: int | None
    n_heldout: int
    sigma_run: float
    root: str
    root_dev: Sequence[float]


class SearchSession:
    """Ids are those of the caller. A node is its own weights: one id is asked about once against one reference."""

    def __init__(self, world: World, methods: Methods) -> None:
        if not world.root_dev:
            raise UsageError("root.dev is empty", hint="give one result for each dev item")
        self.world = world
        self.methods = methods
        self.tree = Tree(SearchNode(world.root, None, "scored", 0.0, None, True, None))
        self.posterior = Posterior(self.tree, methods.prior)
        self.committed = ROOT
        self.history = History(looks=0, passes=0, failed_zeta=None, asked=frozenset())
        self._rng = random.Random(world.seed)
        self._leaders = ItemLeaders() if methods.policy.needs_items else None
        self._root_half = [0.0]
        self._proposed: set[tuple[int, int]] = set()
        if self._leaders is not None:
            self._leaders.add(ROOT, world.root_dev)

    def ask(self, k: int) -> list[str]:
        """The parents of the next k runs, which are pending from now on."""
        view = View(self.tree, self.posterior, self.methods.ucb, self.world.budget, self._leaders)
        picks = self.methods.policy.pick(view, k, rng=self._rng)
        for i in picks:
            self.tree.hold(i)
        return [self.tree.ids[i] for i in picks]

    def tell(self, identifier: str, parent: str, dev: Sequence[float], *, cost: float | None = None) -> Question | None:
        """Take in a scored run; the held-out question, when it is time to ask one."""
        seen = sighting(dev, self.world.root_dev, sigma_run=self.world.sigma_run, seeds=1)
        node = SearchNode(identifier, parent, "scored", seen.gain, seen.variance, True, cost or None)
        i = self._add(node, seen.root_half)
        if self.tree.hours[ROOT] is None:
            self.tree.hours[ROOT] = node.hours
        if self._leaders is not None:
            self._leaders.add(i, dev)
        return self._proposal(i)

    def fail(self, identifier: str, parent: str) -> None:
        """Take in a run that ended without a score."""
        self._add(SearchNode(identifier, parent, "failed", None, None, False, None), 0.0)

    def decide(
        self, identifier: str, reference: str, candidate_results: Sequence[float], reference_results: Sequence[float]
    ) -> Decision:
        """Answer the held-out question; a pass commits. Thin evidence is no obstacle, a repeat or a spent budget is."""
        i, c = self.tree.at(identifier), self.tree.at(reference)
        if self.tree.gain[i] is None:
            raise Refused(f"{identifier} failed and has no score", hint="only a scored node can be certified")
        if c != self.committed:
            last = self.tree.ids[self.committed]
            raise Refused(f"{reference} is not the last committed node", hint=f"compare with {last!r}")
        n = self.world.n_heldout
        if not len(candidate_results) == len(reference_results) == n:
            raise UsageError(f"held-out results: {len(candidate_results)} and {len(reference_results)}, expected {n}")
        question = self._question(i)
        forbidden = refusal(question, self.history, self.methods.gate)
        if forbidden:
            raise Refused(forbidden)
        comparison = Comparison(candidate_results, reference_results, RunNoise(self.world.sigma_run, 1, 1), n)
        decision = decide(comparison, self.methods.gate, alpha=alpha_of(self.history, self.methods.gate))
        self.history = after(self.history, question, passed=decision.passed)
        if decision.passed:
            self.committed = i
        return decision

    def best(self) -> str:
        """The node of highest posterior mean."""
        return self.tree.ids[best_node(self.tree, self.posterior)]

    def _add(self, node: SearchNode, root_half: float) -> int:
        i = self.tree.add(node)
        self._root_half.append(root_half)
        self.tree.release(self.tree.parent[i])
        return i

    def _proposal(self, told: int) -> Question | None:
        """The question that the evidence asks for and that was not put yet."""
        if self.methods.gate.mode == "none":
            return None
        i = told if self.methods.gate.mode == "every-run" else best_node(self.tree, self.posterior)
        question = self._question(i)
        if (i, self.committed) in self._proposed or not judge(question, self.history, self.methods.gate).ask:
            return None
        self._proposed.add((i, self.committed))
        return question

    def _question(self, i: int) -> Question:
        c = self.committed
        gain, variance = self.posterior.difference(i, c)
        evidence = zeta(gain, variance, root_half=self._root_half[i] if c == ROOT else 0.0)
        ids = self.tree.ids
        return Question(ids[i], ids[c], ids[i], ids[c], evidence)
