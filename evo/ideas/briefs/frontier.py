"""Brief `frontier_extrapolation`: where gains are steepest, go on.

Scale what brought the most, go further along what changed between a better and a worse run of one recipe, combine
what helped on another branch with the best path, and refine around the best settings.
Invariant: every step goes out from measured gains; what brought nothing is not extrapolated.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from evo.domain.experiment import ROOT
from evo.domain.idea import Idea
from evo.ideas.drafting import Draft, bounded, idea_of, moved, start_of
from evo.ideas.facts import Facts, Node
from evo.ideas.knowledge import KnowledgeBase
from evo.ideas.novelty import said
from evo.ideas.situations import candidates, scored
from evo.ideas.space import Axis, axis_of
from evo.ideas.symptoms import REINFORCED, SUPERVISED, is_above, is_lora, siblings, value_of

DOSE = ("epochs", "samples", "group_size", "lora_rank")
"""What a larger dose of a recipe is, the cheapest thing to try first."""
FURTHER = 0.5
"""How much further along a change that helped, as a share of that change."""
FINER = (("learning_rate", 0.5), ("learning_rate", 2.0), ("beta", 0.5), ("beta", 2.0))
MOST = 4


def propose(facts: Facts, base: KnowledgeBase) -> list[Idea]:
    """Nothing before an experiment has gained something."""
    drafts = [*_scale(facts), *_further(facts), *_combine(facts), *_refine(facts)]
    return [idea_of(facts, base, "frontier_extrapolation", draft) for draft in drafts]


def steepest(facts: Facts) -> list[Node]:
    """Steps of the best path that gained, the steepest first."""
    line = facts.path(facts.best) if facts.best in facts.nodes else []
    return sorted((node for node in line if (node.delta or 0.0) > 0), key=lambda node: -(node.delta or 0.0))


def _scale(facts: Facts) -> Iterator[Draft]:
    for node in steepest(facts)[:2]:
        if node.recipe not in facts.recipes:
            continue
        for name in DOSE:
            settings = moved(facts, node.recipe, node.params, {name: ("times", 2.0)})
            if settings == dict(node.params) or _is_idle(node, name) or _has_peaked(facts, node, name):
                continue
            title = f"scale {node.id}: twice the {name}"
            why = f"{node.id} brought {node.delta:+.3f} on the best path; a larger dose may bring more"
            yield _step(title, why, node, settings, parent=node.parent or ROOT, risks="past the peak it falls")
            break
        undoes = node.technique in SUPERVISED and facts.nodes[facts.best].technique in REINFORCED
        if node.id != facts.best and facts.recipes[node.recipe].follows and not undoes:
            title = f"once more what {node.id} did, from {facts.best}"
            why = f"{node.id} brought {node.delta:+.3f} by {node.technique}; the best path has moved on since"
            yield _step(title, why, node, dict(node.params), parent=facts.best, risks="its effect may be spent")


def _is_idle(node: Node, name: str) -> bool:
    """A setting of an adapter, where all weights are trained."""
    return name == "lora_rank" and not is_lora(node)


def _has_peaked(facts: Facts, node: Node, name: str) -> bool:
    """A larger dose was tried beside it, and came out clearly lower."""
    here = value_of(facts, node, name)
    return any(
        isinstance(there := value_of(facts, other, name), (int, float))
        and isinstance(here, (int, float))
        and there > here
        and is_above(node, other)
        for other in siblings(facts, node)
    )


def _further(facts: Facts) -> Iterator[Draft]:
    """The best of its recipe below a parent and one that is clearly worse: on along the axis in which they differ
    most."""
    families: dict[tuple[str, str | None], list[Node]] = {}
    for node in scored(facts):
        if node.recipe in facts.recipes:
            families.setdefault((node.recipe, node.parent), []).append(node)
    pairs = []
    for family in families.values():
        better = max(family, key=_gain)
        pairs += [(_gain(better) - _gain(worse), better, worse) for worse in family if is_above(better, worse)]
    for gained, better, worse in sorted(pairs, key=lambda pair: -pair[0])[:MOST]:
        found = _on(facts, better, worse)
        if found is None or _gain(better) <= 0:
            continue
        name, value = found
        settings = bounded(facts.recipes[better.recipe], {**better.params, name: value})
        title = f"further along {name}: {said(value)}"
        why = f"{better.id} lies {gained:.3f} above {worse.id}; {name} is the setting in which they differ most"
        yield _step(title, why, better, settings, parent=better.parent or ROOT, risks="the difference may be noise")


def _on(facts: Facts, better: Node, worse: Node) -> tuple[str, Any] | None:
    recipe = facts.recipes[better.recipe]
    apart: list[tuple[float, Axis, float]] = []
    for name, spec in recipe.params.items():
        axis = axis_of(name, spec)
        here, there = better.params.get(name, spec.default), worse.params.get(name, spec.default)
        if axis is not None and not axis.choices and here is not None and there is not None and here != there:
            end, start = axis.place(here), axis.place(there)
            apart.append((abs(end - start), axis, min(max(end + FURTHER * (end - start), 0.0), 1.0)))
    if not apart:
        return None
    _, axis, place = max(apart, key=lambda each: each[0])
    value = axis.value(place)
    spec = recipe.params[axis.name]
    return None if value == better.params.get(axis.name, spec.default) else (axis.name, value)


def _combine(facts: Facts) -> Iterator[Draft]:
    """What helped elsewhere, on top of the best: from its weights, or its settings beside the best's."""
    line = {node.id for node in facts.path(facts.best)}
    best = facts.nodes[facts.best]
    helped = [node for node in candidates(facts) if node.id not in line and (node.delta or 0.0) > 0]
    for node in sorted(helped, key=lambda node: -(node.delta or 0.0))[:2]:
        if node.recipe not in facts.recipes:
            continue
        if node.recipe == best.recipe:
            if is_lora(node) != is_lora(best):  # the rate of the one is not the other's
                continue
            settings = bounded(facts.recipes[node.recipe], {**node.params, **best.params})
            title, parent = f"the settings of {best.id} and {node.id} together", best.parent or ROOT
        elif not facts.recipes[node.recipe].follows:
            continue
        else:
            settings, parent = dict(node.params), start_of(facts)
            title = f"{node.technique} of {node.id} on top of {parent}"
        why = f"{node.id} brought {node.delta:+.3f} on another branch; the two may add up"
        yield _step(title, why, node, settings, parent=parent, risks="both may have gained the same items")


def _refine(facts: Facts) -> Iterator[Draft]:
    best = facts.nodes[facts.best]
    if _gain(best) <= 0 or best.recipe not in facts.recipes:
        return
    for name, factor in FINER:
        settings = moved(facts, best.recipe, best.params, {name: ("times", factor)})
        if settings != dict(best.params):
            title = f"refine {best.id}: {name} times {factor:g}"
            why = f"{best.id} is the best so far; nobody has looked beside its {name}"
            yield _step(title, why, best, settings, parent=best.parent or ROOT, risks="a small step hides in noise")


def _step(title: str, why: str, like: Node, settings: dict[str, Any], *, parent: str, risks: str) -> Draft:
    return Draft(title, why, like.technique, like.recipe, settings, parent, risks=risks, based_on=[like.id])


def _gain(node: Node) -> float:
    return node.gain or 0.0
