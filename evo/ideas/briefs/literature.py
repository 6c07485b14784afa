"""Brief `literature`: claims of the knowledge base that fit what the workspace is in, as steps that can be taken.

Invariant: a claim is proposed where its reward shape is there, what it presupposes holds and nothing that it warns of
does; techniques that nothing was tried of come after it, with the reason of the recommendation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from evo.domain.idea import Idea
from evo.ideas.drafting import Draft, best_of_recipe, idea_of, settings_for, start_of
from evo.ideas.facts import Facts
from evo.ideas.knowledge import Claim, KnowledgeBase
from evo.ideas.novelty import said
from evo.ideas.recommend import untried
from evo.ideas.situations import PRESSING, situations
from evo.ideas.symptoms import REINFORCED, SUPERVISED

SHAPES = frozenset({"demonstrations", "pairs", "verifiable", "scorer", "corpus"})
REQUIRED = frozenset(
    {"rubric", "tool-calls", "code", "teacher", "multi-reward", "cuda", "lora", "siblings", "preferences-done"}
)
"""Without these a claim is about somebody else's task."""
MOST_BY_WORDS = 5


def propose(facts: Facts, base: KnowledgeBase) -> list[Idea]:
    """Claims near to what was written about the task come before equals."""
    now, near = situations(facts), _near(base, facts.reading.words)
    chosen = sorted(fitting(facts, base, now), key=lambda claim: _order(claim, now, near))
    ideas = [idea_of(facts, base, "literature", draft) for claim in chosen if (draft := draft_of(facts, claim, now))]
    return [*ideas, *_recommended(facts, base, now)]


def fitting(facts: Facts, base: KnowledgeBase, now: frozenset[str]) -> list[Claim]:
    """Controls are another brief's."""
    return [
        claim
        for claim in base.fitting(now)
        if claim.technique != "control" and suits(facts, claim) and _holds(claim, now) and not _is_spoken_for(claim)
    ]


def suits(facts: Facts, claim: Claim) -> bool:
    return feeds(facts, claim.reward_shape)


def feeds(facts: Facts, shape: str) -> bool:
    """Whether the task has what a recipe of this shape learns from; what verifies also scores."""
    return shape in ("any", *facts.task.shapes) or (shape == "scorer" and "verifiable" in facts.task.shapes)


def _holds(claim: Claim, now: frozenset[str]) -> bool:
    """One of its shapes, all that it cannot do without, and one of its other situations, where it names any."""
    wanted = set(claim.applies_when)
    shapes, needed, other = wanted & SHAPES, wanted & REQUIRED, wanted - SHAPES - REQUIRED
    fed = now | {"scorer"} if "verifiable" in now else now  # what verifies also scores
    return (not shapes or bool(shapes & fed)) and needed <= now and (not other or bool(other & now))


def _is_spoken_for(claim: Claim) -> bool:
    """A claim about memory belongs to failures; here it would answer a question that nobody has."""
    return set(claim.applies_when) - SHAPES == {"out-of-memory"}


def _near(base: KnowledgeBase, words: str) -> dict[str, int]:
    """Claim -> its place among those that share words with the task."""
    return {found.claim.id: place for place, found in enumerate(base.search(words, limit=MOST_BY_WORDS))}


def _order(claim: Claim, now: frozenset[str], near: dict[str, int]) -> tuple[object, ...]:
    matched = set(claim.applies_when) & now
    return (
        not matched & PRESSING,
        claim.level != "checked",
        not claim.recipe,
        near.get(claim.id, MOST_BY_WORDS),
        -len(matched - SHAPES),
        claim.id,
    )


def draft_of(facts: Facts, claim: Claim, now: frozenset[str]) -> Draft | None:
    """None where the claim has a recipe and this workspace has not, or where it is what the best was made by."""
    answers = next((name for name in claim.applies_when if name in now & PRESSING), "")
    risks = f"not advised with: {', '.join(claim.avoid_when)}" if claim.avoid_when else ""
    if not claim.recipe:
        return _to_write(facts, claim, answers, risks)
    if claim.recipe not in facts.recipes:
        return None
    recipe = facts.recipes[claim.recipe]
    if not feeds(facts, recipe.reward_shape) or (recipe.reward_shape == "pairs" != claim.reward_shape):
        return _to_write(facts, claim, answers, risks)  # its pairs are the model's own answers, which lie in no file
    technique, parent = recipe.technique, facts.nodes[start_of(facts)]
    settings = settings_for(facts, claim.recipe, claim.patch)
    changed = _changed(facts, claim, settings)
    if (parent.recipe, parent.params) == (claim.recipe, settings) or changed is None:
        return None
    return Draft(
        title=f"{claim.recipe} with {changed or 'its defaults'}: {claim.id}",
        why=claim.claim,
        technique=technique,
        recipe=claim.recipe,
        settings=settings,
        parent=parent.id,
        answers=answers,
        risks=risks or "the claim was made for other models and data",
        claims=[claim],
        based_on=_based_on(facts, answers),
    )


def _changed(facts: Facts, claim: Claim, settings: Mapping[str, Any]) -> str | None:
    """What of the claim the step sets; where it is the first by this recipe, or the claim names no setting, all that
    differs from the recipe's defaults. None where nothing of the claim is left to do."""
    params, like = facts.recipes[claim.recipe].params, best_of_recipe(facts, claim.recipe)
    before = like.params if like is not None else {}
    now = {name: settings.get(name, params[name].default) for name in claim.patch if name in params}
    told = {name: value for name, value in now.items() if value != before.get(name, params[name].default)}
    if not told and like is not None and claim.patch:
        return None
    return ", ".join(f"{name} {said(value)}" for name, value in (told or settings).items())


def _to_write(facts: Facts, claim: Claim, answers: str, risks: str) -> Draft | None:
    """No shipped recipe does it: the nearest one is copied, and the step written there."""
    usual = {"pairs": "dpo", "verifiable": "grpo", "scorer": "rft"}.get(claim.reward_shape, "sft")
    nearest = claim.recipe or usual
    if nearest not in facts.recipes:
        return None
    return Draft(
        title=f"{claim.technique}, to be written: {claim.id}",
        why=claim.claim,
        technique=claim.technique,
        parent=start_of(facts),
        answers=answers,
        risks=risks or "no recipe is shipped for it: what is written may be wrong",
        commands=[f"evo recipe copy {nearest} {claim.id}"],
        claims=[claim],
        data_source="to be made" if claim.technique == "data" or claim.recipe else "",
    )


def _based_on(facts: Facts, answers: str) -> list[str]:
    return [facts.best] if answers or facts.best != "exp_0000" else []


def _recommended(facts: Facts, base: KnowledgeBase, now: frozenset[str]) -> list[Idea]:
    """Techniques by reward shape that the tree has not tried, as they are shipped."""
    answers = next((name for name in ("stuck-at-zero", "plateau") if name in now), "")
    found = []
    for shape, technique in untried(facts):
        about = [base.claims[technique.origin]] if technique.origin in base.claims else []
        warned = [name for claim in about for name in claim.avoid_when if name in now]
        draft = Draft(
            title=f"{technique.name}: a technique for {shape} that this tree has not tried",
            why=technique.why,
            technique=technique.name,
            recipe=technique.recipe,
            settings=settings_for(facts, technique.recipe, {}),
            parent=start_of(facts),
            answers=answers,
            risks=_risks(facts, technique.name, warned),
            claims=about,
        )
        found.append(idea_of(facts, base, "literature", draft))
    return [*found, *(idea_of(facts, base, "literature", draft) for draft in _own(facts, answers))]


def _risks(facts: Facts, technique: str, warned: list[str]) -> str:
    if warned:
        return f"not advised with: {', '.join(warned)}"
    line = facts.path(start_of(facts))
    if technique in SUPERVISED and any(node.technique in REINFORCED for node in line):
        return "imitation may undo what the reward has taught: --parent exp_0000 starts it from the base"
    return "its defaults suit larger models"


def _own(facts: Facts, answers: str) -> Iterator[Draft]:
    """Recipes that the workspace brought itself and never ran, as they stand."""
    tried = {node.recipe for node in facts.nodes.values()}
    for name, recipe in facts.recipes.items():
        is_whole = all(not spec.required or spec.default is not None for spec in recipe.params.values())
        if recipe.reward_shape == "any" and name not in tried and is_whole:
            why = "the workspace brought this recipe and has not run it"
            yield Draft(f"{name} as it is", why, recipe.technique, name, {}, start_of(facts), answers)
