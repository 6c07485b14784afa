"""What one experiment shows, in the words of situations: by its own readings, and by comparison with its neighbours.

Invariant: pure; a comparison counts only where dev can tell the two apart.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from evo.ideas.facts import Facts, Node

REINFORCED = frozenset({"grpo", "rloo", "rft"})
"""Techniques that learn from a reward."""
SUPERVISED = frozenset({"sft", "pretrain"})
PREFERRED = frozenset({"dpo", "kto", "orpo"})
MEMORISED = "memorised"
"""Reading of a supervised run that gives its training rows by heart."""
Z = 1.96
SLOW = 3.0
"""A LoRA whose rate is less than so many times that of full weights: about ten times is usual."""
_OF_READING = {
    "format-first": "format-errors",
    "generalization-gap": "generalisation-gap",
    "exhausted": "plateau",
    "harm": "forgetting",
    "length": "length-drift",
    "loops": "length-drift",
    "format": "format-errors",
    "repeated": "entropy-collapse",
}
"""Kind of a finding -> situation, where the two have other names."""
_TRICKS = frozenset({"length", "loops", "repeated", "reward-saturated"})
_DOSE = frozenset({"epochs", "max_steps"})


def named(readings: Iterable[str]) -> set[str]:
    """Readings and kinds of findings as situations."""
    return {_OF_READING.get(reading, reading) for reading in readings}


def symptoms(facts: Facts, node: Node) -> set[str]:
    shown = named(node.readings)
    derived = (("reward-hacked", is_hacked(node)), ("overfit", is_overfit(facts, node)))
    shown |= {name for name, holds in (*derived, ("lora-slow", is_slow_lora(facts, node))) if holds}
    return shown - {"reward-saturated"} if "reward-hacked" in shown else shown


def is_hacked(node: Node) -> bool:
    """The reward is won by other means than the task: what is earned in training does not show on dev, and the outputs
    have changed their kind; or they offer several answers at once."""
    seen = set(node.readings)
    if node.technique not in REINFORCED:
        return False
    return "hedging" in seen or ("generalisation-gap" in seen and bool(_TRICKS & seen))


def is_overfit(facts: Facts, node: Node) -> bool:
    """Supervised training past its best: below its parent with its rows known by heart, or below a run that differs in
    nothing but that it was shorter."""
    if node.technique not in SUPERVISED:
        return False
    if MEMORISED in node.readings and is_loss(node):
        return True
    return any(_is_shorter(facts, other, node) and is_above(other, node) for other in siblings(facts, node))


def is_slow_lora(facts: Facts, node: Node) -> bool:
    """A LoRA below full weights at nearly the same learning rate: it has hardly moved."""
    rate = value_of(facts, node, "learning_rate")
    if not is_lora(node) or not isinstance(rate, (int, float)):
        return False
    full = [other for other in siblings(facts, node) if not is_lora(other) and is_above(other, node)]
    rates = [value_of(facts, other, "learning_rate") for other in full]
    return any(isinstance(other, (int, float)) and rate < SLOW * other for other in rates)


def is_lora(node: Node) -> bool:
    return str(node.params.get("method", "")).endswith("lora")


def value_of(facts: Facts, node: Node, name: str) -> object:
    """As the run had it, its default where nothing was set."""
    recipe = facts.recipes.get(node.recipe)
    spec = recipe.params.get(name) if recipe is not None else None
    return node.params.get(name, spec.default if spec is not None else None)


def is_above(one: Node, other: Node) -> bool:
    """Clearly: by more than both were measured with."""
    if one.gain is None or other.gain is None:
        return False
    return one.gain - other.gain > Z * max(math.hypot(one.se, other.se), 1e-9)


def is_loss(node: Node) -> bool:
    """Clearly worse than its parent."""
    return node.delta is not None and node.delta < -Z * max(node.delta_se, 1e-9)


def is_gain(node: Node) -> bool:
    """Clearly better than its parent."""
    return node.delta is not None and node.delta > Z * max(node.delta_se, 1e-9)


def siblings(facts: Facts, node: Node) -> list[Node]:
    """Of the same recipe and parent, itself left out."""
    every = facts.nodes.values()
    return [each for each in every if (each.recipe, each.parent) == (node.recipe, node.parent) and each.id != node.id]


def _is_shorter(facts: Facts, one: Node, other: Node) -> bool:
    """`one` is `other` with fewer epochs, and nothing else."""
    names = {*one.params, *other.params}
    apart = {name for name in names if value_of(facts, one, name) != value_of(facts, other, name)}
    here, there = (value_of(facts, each, "epochs") for each in (one, other))
    is_known = isinstance(here, (int, float)) and isinstance(there, (int, float))
    return bool(apart) and apart <= _DOSE and is_known and here < there  # type: ignore[operator]
