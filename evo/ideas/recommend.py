"""Reward first, technique second: what a workspace can learn from decides what to try (rows A1 and A22).

Invariant: a prior, never a rule: an order with reasons, which one finished experiment may overturn. Every technique
that is named has a shipped recipe, or says that it has none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from evo.diagnose.priors import PRIORS, Prior
from evo.ideas.facts import Facts, RewardShape
from evo.ideas.situations import is_stuck, scored
from evo.ideas.symptoms import REINFORCED, SUPERVISED
from evo.lightdata import dataclass, field

REWARDED = REINFORCED | {"ppo"}
BELOW_CHANCE = frozenset({"pretrain"})
"""What puts in what a base model does not know; all others bring out what it does."""
SHAPES: tuple[RewardShape, ...] = ("verifiable", "pairs", "demonstrations", "scorer", "corpus")


@dataclass(frozen=True)
class Technique:
    """`recipe` is empty where none is shipped; `origin`: the claim of the knowledge base that speaks of it as such."""

    name: str
    recipe: str
    why: str
    origin: str = ""


@dataclass(frozen=True)
class Recommendation:
    """`shapes`: what the task offers, the strongest first; `order`: techniques, by shape and then as they stand."""

    shapes: list[RewardShape]
    order: list[tuple[RewardShape, Technique]]
    priors: Sequence[Prior] = PRIORS
    notes: list[str] = field(default_factory=list)


BY_SHAPE: dict[RewardShape, tuple[Technique, ...]] = {
    "verifiable": (
        Technique(
            "grpo", "grpo", "several answers to a prompt, each against its group: no value model to train", "grpo-intro"
        ),
        Technique(
            "rloo", "rloo", "the same by leave-one-out: unbiased, and steadier where groups are small", "rloo-loo"
        ),
        Technique("ppo", "", "it needs a value model, and TRL has no PPO any more: take grpo or rloo"),
    ),
    "pairs": (
        Technique(
            "dpo",
            "dpo",
            "a classification loss on pairs, without reward model and without drawing answers",
            "dpo-direct",
        ),
        Technique(
            "kto", "kto", "single answers that are good or bad: pairs may be unbalanced, or taken apart", "kto-unpaired"
        ),
        Technique(
            "orpo",
            "orpo",
            "imitation and preference in one stage, without a reference model in memory",
            "orpo-one-stage",
        ),
    ),
    "demonstrations": (
        Technique("sft", "sft", "imitate good answers; what can be shown need not be searched for", "sft-instructions"),
    ),
    "scorer": (
        Technique(
            "rft",
            "rft",
            "draw, keep what is rewarded, learn it: stable where the reward is coarse or noisy",
            "raft-best-of-k",
        ),
    ),
    "corpus": (
        Technique("pretrain", "pretrain", "running text puts in what the base model does not know yet", "dont-stop"),
    ),
}


def recommend(shapes: Iterable[RewardShape], *, facts: Facts | None = None) -> Recommendation:
    """Techniques for what the task offers. `facts`: what the tree says against the prior is noted, and put last."""
    known = list(dict.fromkeys(shapes))
    if "verifiable" in known and "scorer" not in known:
        known.append("scorer")  # what verifies also scores
    order = [(shape, technique) for shape in known for technique in BY_SHAPE[shape]]
    if facts is None:
        return Recommendation(known, order)
    spoken = contradicted(facts)
    first = BELOW_CHANCE if "below-chance" in facts.findings else frozenset()
    ranked = sorted(
        order, key=lambda each: (each[1].name in spoken, not each[1].recipe, bool(first) and each[1].name not in first)
    )
    return Recommendation(known, ranked, notes=[f"{name}: {why}" for name, why in spoken.items()])


def contradicted(facts: Facts) -> dict[str, str]:
    """Techniques against which this tree, or the base model, speaks, with the reason."""
    found: dict[str, str] = {}
    known = scored(facts)
    if is_stuck(facts):
        tried = {node.technique for node in known}
        found |= {name: "every run of it here is at zero" for name in sorted(tried)}
        if tried & REWARDED:
            why = "every run by a reward here is at zero: it is never earned"
            found |= {name: why for name in sorted(REWARDED - tried)}
    base, chance = facts.task.base_score, facts.task.chance or 0.0
    shown = any(node.technique in SUPERVISED for node in known)
    is_mute = (
        not shown and base is not None and base <= chance and not any((node.score or 0.0) > chance for node in known)
    )
    if is_mute and facts.task.unit == 1.0 and "demonstrations" in facts.task.shapes:
        why = "the base model never earns the reward: nothing to reinforce before it can answer at all"
        found |= {name: why for name in sorted(REWARDED) if name not in found}
    return found


def untried(facts: Facts) -> list[tuple[RewardShape, Technique]]:
    """Recommended techniques that have a recipe here and no experiment yet, in order."""
    tried = {node.technique for node in facts.nodes.values()}
    chosen = recommend(facts.task.shapes, facts=facts)
    spoken = {note.partition(":")[0] for note in chosen.notes}
    return [
        (shape, technique)
        for shape, technique in chosen.order
        if technique.recipe in facts.recipes and technique.name not in tried and technique.name not in spoken
    ]
