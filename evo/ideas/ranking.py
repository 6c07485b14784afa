"""Which idea comes first: has code before replicated before specific before recent; checked before remembered.
Before a tree has results, techniques come in the order of the recommendation.

Invariant: an idea with a reference that leads to another paper cannot rank: it comes after all others. Order among
equals is the source's own. A technique that was given up twice is pushed down, not forbidden.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from evo.domain.idea import Idea
from evo.ideas.drafting import ANSWERS, CHECKED, CODE, REMEMBERED, REPLICATED, SPECIFIC
from evo.ideas.facts import Facts
from evo.ideas.novelty import times_in_vain
from evo.ideas.recommend import contradicted, recommend
from evo.ideas.situations import scored

IN_VAIN = 2
_ARXIV = re.compile(r"arxiv\.org/abs/(\d{2})(\d{2})\.")


def ranked(facts: Facts, ideas: Iterable[Idea]) -> list[Idea]:
    spoken, prior = contradicted(facts), _prior(facts)
    return sorted(
        ideas, key=lambda idea: _key(facts, idea, idea.technique in spoken, prior.get(idea.technique, len(prior)))
    )


def _prior(facts: Facts) -> dict[str, int]:
    """Before the first result, place of each technique by what there is to learn from; then results speak."""
    if scored(facts):
        return {}
    found: dict[str, int] = {}
    for _, technique in recommend(facts.task.shapes, facts=facts).order:
        found.setdefault(technique.name, len(found))
    return found


def _key(facts: Facts, idea: Idea, is_contradicted: bool, place: int) -> tuple[object, ...]:
    said = idea.confidence
    first = (
        is_mismatched(idea),
        idea.brief == "literature" and not idea.recipe and CODE not in said,
        times_in_vain(facts, idea.technique) >= IN_VAIN,
        is_contradicted,
        not any(words.startswith(ANSWERS) for words in said),
    )
    if idea.brief != "literature":  # the order of groups, steps and controls is what those briefs work out
        return first
    return (
        *first,
        place,
        (CHECKED not in said) + (REMEMBERED in said),
        REPLICATED not in said,
        SPECIFIC not in said,
        -newest(idea),
    )


def is_mismatched(idea: Idea) -> bool:
    return any(reference.status == "mismatch" for reference in idea.references)


def newest(idea: Idea) -> int:
    """Year and month of the newest paper by its arXiv number, as 202405; 0 where none has one."""
    found = (_ARXIV.search(reference.url) for reference in idea.references)
    return max((200000 + int(match[1]) * 100 + int(match[2]) for match in found if match), default=0)
