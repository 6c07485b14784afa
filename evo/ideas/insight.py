"""One line of insight of a finished experiment, from its facts, for where nobody has written one.

Invariant: pure; it names technique, what changed, the difference with its interval, and what was found, and claims no
more than the interval does.
"""

from __future__ import annotations

from evo.domain.experiment import ROOT
from evo.ideas.facts import Facts, Node
from evo.ideas.novelty import said

Z = 1.96
MOST_SETTINGS = 4


def insight_of(facts: Facts, id: str) -> str:
    """What was written, else what the facts give; empty for what has not ended."""
    node = facts.nodes[id]
    if node.insight or id == ROOT:
        return node.insight
    how = outcome(node)
    return f"{node.technique or node.recipe} with {changed(facts, node)}: {how}" if how else ""


def outcome(node: Node) -> str:
    """How it ended, in words; empty for what has not."""
    readings = f"; findings: {', '.join(dict.fromkeys(node.readings))}" if node.readings else ""
    scored = "" if node.delta is None else f"{verdict(node)}{readings}"
    known = (
        (node.state == "discarded", f"{scored}; discarded: {node.reason}".removeprefix("; ")),
        (node.failure and node.score is None, f"failed ({node.failure})"),
        (node.is_noop, "no-op, the weights did not change"),
        (node.is_regressed, f"worse than {node.parent} by mid-evaluation, and ended there"),
        (scored, scored),
        (node.state == "contaminated", "contaminated"),
    )
    return next((words for holds, words in known if holds), "")


def verdict(node: Node) -> str:
    """`+0.031 [+0.008, +0.054] over exp_0003: a gain`"""
    delta, spread = node.delta or 0.0, Z * node.delta_se
    low, high = delta - spread, delta + spread
    word = "a gain" if low > 0 else ("a loss" if high < 0 else "no clear difference")
    return f"{delta:+.3f} [{low:+.3f}, {high:+.3f}] over {node.parent}: {word}"


def changed(facts: Facts, node: Node) -> str:
    """What sets it apart from its parent where both are of one recipe, else from the recipe's defaults."""
    parent = facts.nodes.get(node.parent or "")
    theirs = parent.params if parent is not None and parent.recipe == node.recipe else {}
    recipe = facts.recipes.get(node.recipe)
    words = []
    for name in dict.fromkeys([*node.params, *theirs]):
        default = recipe.params[name].default if recipe and name in recipe.params else None
        ours, before = node.params.get(name, default), theirs.get(name, default)
        if ours != before:
            words.append(f"{name} {said(ours)}" + (f" (was {said(before)})" if before is not None else ""))
    more = f" and {len(words) - MOST_SETTINGS} more" if len(words) > MOST_SETTINGS else ""
    return ", ".join(words[:MOST_SETTINGS]) + more if words else "its defaults"
