"""What the tree believes of its nodes: rows of the store become the posterior, and policies pick from it.

Invariant: every scored node of the present epoch informs, discarded ones included; only the root, open and committed
ones are named.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from typing import cast

from evo import registry
from evo.domain.experiment import ROOT
from evo.domain.views import PickView
from evo.lightdata import dataclass
from evo.search.policies.base import ItemLeaders, Policy, View
from evo.search.posterior import Posterior, Prior
from evo.search.ranking import UcbRules, best_node, upper_bounds
from evo.search.tree import SearchNode, Tree
from evo.session import Session
from evo.store import meta, nodes, results


@dataclass(frozen=True)
class Beliefs:
    tree: Tree
    posterior: Posterior
    rules: UcbRules

    @property
    def best(self) -> str:
        """The candidate of highest posterior mean."""
        return self.tree.ids[best_node(self.tree, self.posterior)]

    def estimate(self, experiment: str) -> tuple[float, float]:
        """Shrunken gain over the root and its standard deviation."""
        i = self.tree.at(experiment)
        return self.posterior.mean[i], math.sqrt(self.posterior.variance[i])


def _rows(session: Session) -> Iterator[SearchNode]:
    epoch = session.epoch
    for row in nodes.light_nodes(session.db):
        is_root = row.id == ROOT
        counts = row.gain is not None and row.epoch == epoch and row.state != "contaminated"
        yield SearchNode(
            id=row.id,
            parent=row.parent,
            outcome="scored"
            if row.score_mean is not None or is_root
            else ("pending" if row.state == "pending" else "failed"),
            gain=row.gain if counts and not is_root else None,
            variance=row.gain_var if counts and not is_root else None,
            is_candidate=row.state in ("open", "committed"),
            hours=None,
        )


def form_beliefs(session: Session) -> Beliefs:
    """The exact posterior over the whole tree; O(N)."""
    search = session.config.search
    key = _key(session)
    tree = Tree.grow(_rows(session))
    posterior = Posterior(tree, Prior(search.mu, search.tau))
    formed = Beliefs(tree, posterior, UcbRules(search.beta, search.kappa, search.kappa_cost))
    _formed.clear()
    _formed[key] = formed
    return formed


_formed: dict[tuple[object, ...], Beliefs] = {}
"""The beliefs that this process formed last: a run asks twice, for the gate and for its view."""


def recall_beliefs(session: Session) -> Beliefs:
    """`form_beliefs`, or what it gave last where means and variances cannot have changed since.

    What was tried and what is pending may be older; the frontier is not for it.
    """
    if _key(session) not in _formed:
        return form_beliefs(session)
    return _formed[_key(session)]


def _key(session: Session) -> tuple[object, ...]:
    version = meta.get(session.db, "tree_version")
    search = session.config.search
    return (session.layout.root, session.epoch, version, nodes.newest(session.db), search.mu, search.tau)


def remember_best(session: Session, mind: Beliefs) -> None:
    """Keep the best node for `evo status`, which is to cost the same at any size."""
    meta.set(session.db, "best", {"id": mind.best, "version": meta.get(session.db, "tree_version")})


def pick_parents(
    session: Session, beliefs: Beliefs, *, k: int, policy: str | None = None, seed: int | None = None
) -> list[PickView]:
    """The k parents that the policy names, repeats allowed."""
    member = cast(Policy, registry.load("policy", policy or session.config.search.policy)())
    leaders = item_leaders(session, beliefs) if member.needs_items else None
    view = View(beliefs.tree, beliefs.posterior, beliefs.rules, None, leaders)
    rng = random.Random(session.config.search.seed if seed is None else seed)
    chosen = member.pick(view, k, rng=rng)
    bounds = upper_bounds(beliefs.tree, beliefs.posterior, beliefs.rules)
    return [
        PickView(beliefs.tree.ids[i], bounds[i], beliefs.posterior.mean[i], math.sqrt(beliefs.posterior.variance[i]))
        for i in chosen
    ]


def item_leaders(session: Session, beliefs: Beliefs) -> ItemLeaders:
    """For each dev item who does best on it, over the candidates of this epoch."""
    leaders, epoch, metric = ItemLeaders(), session.epoch, session.metric
    items: list[str] = []
    for i, identifier in enumerate(beliefs.tree.ids):
        if not beliefs.tree.is_candidate[i] or epoch is None:
            continue
        means = results.pooled_means(session.db, identifier, eval_hash=epoch)
        items = items or list(means)
        if means and all(item in means for item in items):
            leaders.add(i, [metric.sign * means[item] for item in items])
    return leaders
