"""How far a step lies from everything that the tree has tried.

Invariant: 0 is a step that was done from this very parent, 1 is nothing like anything; ranges are normalised, and
walked in logarithms where they span decades.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from evo.domain.experiment import ROOT
from evo.domain.idea import Idea
from evo.ideas.facts import Facts, Node, RecipeFacts, started_from
from evo.ideas.space import Axis, axis_of
from evo.lightdata import replace

SAME = 0.02
"""Nearer than a fiftieth of a range is no other step."""
STEP = 0.05
"""The least distance of two values that are a tenth apart: from 0 to .05 is far where 0 switches something off."""
FOREIGN = 0.5
"""Distance of two settings that lie on no scale: other words, another kind of adapter."""
ELSEWHERE = 0.25
"""The same settings from another parent: other weights to start from."""
_VAIN = ("", "hypothesis")
"""Classes of a discard that speak against the technique; a build that broke does not."""


class Nearest(NamedTuple):
    """`differs` says in words what sets the step apart from `node`."""

    node: str
    distance: float
    differs: str


def novelty(facts: Facts, idea: Idea) -> Nearest:
    """The nearest experiment of the tree; a distance of 1 and no node where there is none by this technique."""
    found = [
        Nearest(node.id, distance_to(facts, idea, node), differences(facts, idea, node))
        for node in facts.nodes.values()
        if node.id != ROOT and (node.recipe == idea.recipe or node.technique == idea.technique)
    ]
    return min(found, key=lambda each: each.distance, default=Nearest("", 1.0, f"no {idea.technique} in the tree yet"))


def is_known(facts: Facts, idea: Idea) -> bool:
    """The tree has this step already, whether it went well or not."""
    return bool(idea.recipe) and novelty(facts, idea).distance < SAME


def times_in_vain(facts: Facts, technique: str) -> int:
    """How often the technique was given up because its hypothesis did not hold."""
    return sum(
        node.technique == technique and node.state == "discarded" and node.discard_class in _VAIN
        for node in facts.nodes.values()
    )


def distance_to(facts: Facts, idea: Idea, node: Node) -> float:
    if node.recipe != idea.recipe:
        return 0.8
    recipe = facts.recipes.get(idea.recipe)
    apart = _apart(recipe, idea.patch, node.params) if recipe else [FOREIGN] * (idea.patch != node.params)
    if _other_start(facts, idea, node):
        apart = [*apart, ELSEWHERE]
    return min(1.0, math.sqrt(math.fsum(each * each for each in apart)))


def _apart(recipe: RecipeFacts, one: Mapping[str, Any], other: Mapping[str, Any]) -> list[float]:
    found = []
    for name, spec in recipe.params.items():
        ours, theirs = one.get(name, spec.default), other.get(name, spec.default)
        if ours != theirs:
            axis = axis_of(name, replace(spec, tune=True))
            is_scale = axis is not None and not axis.choices and _is_number(ours) and _is_number(theirs)
            found.append(_between(axis, ours, theirs) if axis is not None and is_scale else FOREIGN)
    return found


def _between(axis: Axis, one: float, other: float) -> float:
    """On the scale of the axis, beyond its ends too; a tenth of the value is a step, however wide the range."""
    if axis.is_log and one > 0 and other > 0:
        apart = abs(math.log(one / other)) / math.log(axis.high / axis.low)
    else:
        apart = abs(one - other) / (axis.high - axis.low)
    is_step = abs(one - other) > 0.1 * max(abs(one), abs(other))
    return max(apart, STEP if is_step else 0.0)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def differences(facts: Facts, idea: Idea, node: Node) -> str:
    """`exp_0003 with learning_rate 1e-05 instead of 5e-05`"""
    if node.recipe != idea.recipe:
        return f"{node.id} was {node.recipe} by {node.technique}"
    recipe = facts.recipes.get(idea.recipe)
    names = list(recipe.params) if recipe else list(dict.fromkeys([*idea.patch, *node.params]))
    words = []
    for name in names:
        default = recipe.params[name].default if recipe else None
        ours, theirs = idea.patch.get(name, default), node.params.get(name, default)
        if ours != theirs:
            words.append(f"{name} {said(ours)} instead of {said(theirs)}")
    if start := _other_start(facts, idea, node):
        words.append(f"from {start} instead of {node.weights_of}")
    return f"{node.id} with {', '.join(words)}" if words else f"{node.id} is this step"


def _other_start(facts: Facts, idea: Idea, node: Node) -> str:
    """What the step would start from, where the experiment started from something else. A parent that is not chosen
    yet, or whose weights the recipe does not start from, is no difference."""
    recipe = facts.recipes.get(idea.recipe)
    start = started_from(recipe.init_from if recipe is not None else "parent", idea.parent)
    return start if start not in ("", node.weights_of) else ""


def said(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) else str(value)
