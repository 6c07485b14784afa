"""Brief `control`: what would show that a gain is none, before more is built upon it.

A further seed of the best, a reward that knows nothing, what the base model can already do when it is asked often or
shown examples, and more items to tell two equals apart.
Invariant: a control trains nothing new but where it must; each says which command does it, and what would worry one.
"""

from __future__ import annotations

from collections.abc import Iterator

from evo.domain.experiment import ROOT
from evo.domain.idea import Idea
from evo.ideas.drafting import Draft, idea_of
from evo.ideas.facts import Facts, Node
from evo.ideas.knowledge import Claim, KnowledgeBase
from evo.ideas.situations import candidates, lucky, near_perfect, overlap, situations
from evo.ideas.symptoms import REINFORCED
from evo.lightdata import replace

FILES = {"demonstrations": "data/train.jsonl", "pairs": "data/preferences.jsonl", "corpus": "data/corpus"}
"""Where rows of each shape lie."""
SAMPLES = 8


def propose(facts: Facts, base: KnowledgeBase) -> list[Idea]:
    """The control that the present state asks for first."""
    now = situations(facts)
    drafts = [draft for draft in _all(facts, base, now) if draft is not None]
    ideas = [idea_of(facts, base, "control", draft) for draft in drafts]
    return [replace(idea, refuted_by=draft.risks) for idea, draft in zip(ideas, drafts, strict=True)]


def _all(facts: Facts, base: KnowledgeBase, now: frozenset[str]) -> Iterator[Draft | None]:
    if high := near_perfect(facts):
        yield _harder(facts, high)
    if (pair := overlap(facts)) and any(each.further is not None for each in pair):
        one, other = pair
        yield Draft(
            f"another seed of {one.id} and {other.id}", "dev cannot tell the two apart; two runs of each can",
            "control", parent=one.id, answers="overlapping-best", risks="their order turns round",
            commands=[f"evo run {each.id} --seed {each.further}" for each in pair if each.further is not None],
            claims=_about(base, "sober-seeds"), based_on=[one.id, other.id],
        )  # fmt: skip
    if "leak-suspected" in now:
        yield Draft(
            "look for evaluation items in the training data", "a number from items that leaked is no number",
            "control", answers="leak-suspected", risks="a line is found",
            commands=[f"evo data check {FILES[each]}" for each in facts.task.rows if each in FILES] or ["evo doctor"],
            claims=_about(base, "rephrased"),
        )  # fmt: skip
    if lucky(facts):
        yield _seed(facts, base)
    yield _random_reward(facts, base)
    if "before-rl" in now and facts.task.model_family and facts.task.is_asked_here:
        yield _often(base)
        yield _examples()
    if not lucky(facts):
        yield _seed(facts, base)


def _harder(facts: Facts, high: Node) -> Draft:
    """Nothing can be shown above so high a score."""
    name = "the base model" if high.id == ROOT else high.id
    return Draft(
        "harder items before anything is trained" if high.id == ROOT else "harder items, or an end: nothing is left",
        f"{name} scores {high.score or 0:.3f}: what is left is less than {facts.task.dev_items} items can show",
        "control", parent=high.id, answers="near-perfect", commands=["evo gate power", f"evo failures {high.id}"],
        risks="the gate can show a gain of what is left after all", based_on=[high.id],
    )  # fmt: skip


def _random_reward(facts: Facts, base: KnowledgeBase) -> Draft | None:
    """For a gain by a reward: does the same page with a reward that is a coin gain as much?"""
    gained = [node for node in candidates(facts) if node.technique in REINFORCED and (node.gain or 0.0) > 0]
    if not gained or gained[0].recipe not in facts.recipes:
        return None
    node = gained[0]
    copy = f"{node.recipe}-random-reward"
    return Draft(
        f"{node.recipe} with a random reward",
        f"{node.id} gained {node.gain:+.3f}; a coin in place of its reward (`file: coin.py` under `rewards`) must not",
        "control", parent=node.parent or ROOT, commands=[f"evo recipe copy {node.recipe} {copy}"],
        risks="it gains as much: then it is format, length or clipping that was learnt, and not the task",
        claims=_about(base, "spurious-control"), based_on=[node.id],
    )  # fmt: skip


def _often(base: KnowledgeBase) -> Draft:
    return Draft(
        f"what the base model gets right in {SAMPLES} answers",
        f"reinforcement brings out what is drawn at times: pass@{SAMPLES} above the score is its room",
        "control", parent=ROOT, risks="nothing is right in any of them: no reward will be earned",
        commands=[f"evo eval {ROOT} --set temperature=1.0 --set samples={SAMPLES} --scratch"],
        claims=_about(base, "passk-first"), based_on=[ROOT],
    )  # fmt: skip


def _examples() -> Draft:
    return Draft(
        "the base model with examples before the question", "much of what a first training brings is form, not ability",
        "control", parent=ROOT, commands=["evo diagnose --format"], based_on=[ROOT],
        risks="examples alone bring what training is to bring",
    )  # fmt: skip


def _seed(facts: Facts, base: KnowledgeBase) -> Draft | None:
    best = next((node for node in candidates(facts) if (node.gain or 0.0) > 0), None)
    if best is None or best.further is None:
        return None
    return Draft(
        f"another seed of {best.id}", f"{best.id} is the best of {len(candidates(facts))}, and was one draw",
        "control", parent=best.id, commands=[f"evo run {best.id} --seed {best.further}"],
        risks="the second run does not gain", claims=_about(base, "sober-seeds"), based_on=[best.id],
    )  # fmt: skip


def _about(base: KnowledgeBase, claim: str) -> list[Claim]:
    return [base.claims[claim]] if claim in base.claims else []
