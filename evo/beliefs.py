"""What the tree believes of its nodes: rows of the store become the posterior, and policies pick from it.

Invariant: every scored node of the present epoch informs, discarded ones included; only the root, open and committed
ones are named, and of these none that is regressed: it counts as a child that failed.
"""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import NamedTuple, cast

from evo import registry
from evo.domain.experiment import ROOT
from evo.domain.views import PickView
from evo.lightdata import dataclass
from evo.search.policies.base import ItemLeaders, Policy, View
from evo.search.posterior import Posterior, Prior
from evo.search.ranking import UcbRules, best_node, upper_bounds
from evo.search.tree import SearchNode, Tree
from evo.search.winner import CONTENDERS, optimism
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


def _node(row: nodes.LightNode, epoch: str | None) -> SearchNode:
    is_root = row.id == ROOT
    counts = row.gain is not None and row.epoch == epoch and row.state != "contaminated" and not is_root
    has_score = row.score_mean is not None or is_root
    return SearchNode(
        id=row.id,
        parent=row.parent,
        outcome="scored" if has_score else ("pending" if row.state == "pending" else "failed"),
        gain=row.gain if counts else None,
        variance=row.gain_var if counts else None,
        is_candidate=row.state in ("open", "committed") and not row.is_regressed,
        hours=None,
    )


class _Key(NamedTuple):
    """What means and variances depend on: `version` counts the changes of scores and standings."""

    root: Path
    epoch: str | None
    version: int
    newest: int
    prior: Prior


class _Foreseen(NamedTuple):
    """The tree as it was at `key`, without one leaf."""

    key: _Key
    leaf: nodes.LightNode
    tree: Tree
    posterior: Posterior


_formed: dict[_Key, Beliefs] = {}
"""The beliefs that this process formed last: a run asks twice, for the gate and for its view."""
_foreseen: list[_Foreseen] = []
"""At most one: what a run prepared while it had nothing else to do."""


def _key(session: Session) -> _Key:
    search = session.config.search
    return _Key(
        session.layout.root,
        session.epoch,
        meta.get(session.db, "tree_version", default=0),
        nodes.newest(session.db),
        Prior(search.mu, search.tau),
    )


def form_beliefs(session: Session) -> Beliefs:
    """The exact posterior over the whole tree; O(N), or less where all but one leaf was foreseen."""
    search, key = session.config.search, _key(session)
    tree, posterior = _foretold(session, key) or _grown(session, key.prior)
    formed = Beliefs(tree, posterior, UcbRules(search.beta, search.kappa, search.kappa_cost))
    _formed.clear()
    _formed[key] = formed
    return formed


def _grown(session: Session, prior: Prior, *, without: str = "") -> tuple[Tree, Posterior]:
    epoch = session.epoch
    tree = Tree.grow(_node(row, epoch) for row in nodes.light_nodes(session.db) if row.id != without)
    return tree, Posterior(tree, prior)


def foresee(session: Session, leaf: str) -> None:
    """Do the work of `form_beliefs` for all nodes but `leaf`, whose score is awaited: this process idles meanwhile."""
    _foreseen.clear()
    if leaf != ROOT and not nodes.has_children(session.db, leaf):
        key = _key(session)
        contenders(session)
        _foreseen.append(_Foreseen(key, nodes.light_node(session.db, leaf), *_grown(session, key.prior, without=leaf)))


def _foretold(session: Session, key: _Key) -> tuple[Tree, Posterior] | None:
    """What was foreseen, with the leaf in it; None unless the leaf's own score is all that has changed since."""
    if not _foreseen:
        return None
    seen = _foreseen.pop()
    if key != seen.key._replace(version=seen.key.version + 1):
        return None
    row = nodes.light_node(session.db, seen.leaf.id)
    if row.gain is None or row.epoch != key.epoch or row.gain == seen.leaf.gain:
        return None
    seen.tree.add(_node(row, key.epoch))
    return seen.tree, seen.posterior


def recall_beliefs(session: Session) -> Beliefs:
    """`form_beliefs`, or what it gave last where means and variances cannot have changed since.

    What was tried and what is pending may be older; the frontier is not for it.
    """
    return _formed.get(_key(session)) or form_beliefs(session)


def remember_best(session: Session, mind: Beliefs) -> None:
    """Keep the best node for `evo status`, which is to cost the same at any size, and how much too good it looks."""
    kept = {"id": mind.best, "version": meta.get(session.db, "tree_version"), "optimism": best_optimism(session)}
    meta.set(session.db, "best", kept)


def best_optimism(session: Session) -> float:
    """By how much the best score is too good for having been chosen, in units; 0 where items are no sample."""
    return 0.0 if session.config.eval.mode == "scalar" else optimism(contenders(session))


_item_gains: dict[tuple[Path, str, str, float], list[float]] = {}
"""Workspace, epoch, experiment and its gain -> gain over the root on each dev item."""


def contenders(session: Session) -> list[list[float]]:
    """Per-item gains of the experiments that may be called the best."""
    epoch = session.epoch
    if epoch is None:
        return []
    keys = [(session.layout.root, epoch, *each) for each in nodes.leaders(session.db, epoch, limit=CONTENDERS)]
    missing = [key for key in keys if key not in _item_gains]
    base = results.pooled_means(session.db, ROOT, eval_hash=epoch) if missing else {}
    adjusted = session.metric.adjusted
    for key in missing:
        means = results.pooled_means(session.db, key[2], eval_hash=epoch)
        if len(_item_gains) > 8 * CONTENDERS:
            _item_gains.clear()
        _item_gains[key] = [adjusted(means[item] - base[item]) for item in base] if means.keys() == base.keys() else []
    return [gains for key in keys if (gains := _item_gains.get(key))]


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
