"""From what the sources propose to what is worth recording: known steps out, the same step once, no monoculture.

Invariant: pure; nothing is added to an idea but the references of those that propose the same step.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from evo.domain.experiment import BARREN
from evo.domain.idea import Idea
from evo.files import sha256_json
from evo.ideas.facts import Facts
from evo.ideas.novelty import is_known
from evo.lightdata import replace

MOST_REFERENCES = 4
OF_ONE_TECHNIQUE = 2
"""Among the first; more only where nothing else is left."""


def unknown(facts: Facts, ideas: Iterable[Idea]) -> list[Idea]:
    """Without steps that the tree has; a parent that can have no children is left to the policy."""
    placed = [_placed(facts, idea) for idea in ideas]
    return [idea for idea in placed if not is_known(facts, idea)]


def _placed(facts: Facts, idea: Idea) -> Idea:
    node = facts.nodes.get(idea.parent)
    is_barren = bool(idea.parent) and (node is None or node.state in BARREN or node.state == "failed")
    return replace(idea, parent="") if is_barren and idea.recipe else idea


def step_of(idea: Idea) -> str:
    return sha256_json([idea.parent, idea.recipe, idea.patch, [] if idea.recipe else [*idea.commands, idea.title]])


def merged(ideas: Sequence[Idea]) -> list[Idea]:
    """The same step once, the first of its kind, with what the others rest on beside its own references."""
    first: dict[str, Idea] = {}
    for idea in ideas:
        key = step_of(idea)
        known = first.get(key)
        if known is None:
            first[key] = idea
        else:
            urls = {reference.url for reference in known.references}
            more = [reference for reference in idea.references if reference.url not in urls]
            first[key] = replace(known, references=[*known.references, *more][:MOST_REFERENCES])
    return list(first.values())


def varied(ideas: Sequence[Idea], k: int) -> list[Idea]:
    """The first `k`, at most two of a technique while there are others."""
    seen: Counter[str] = Counter()
    early: list[Idea] = []
    late: list[Idea] = []
    for idea in ideas:
        seen[idea.technique] += 1
        (early if seen[idea.technique] <= OF_ONE_TECHNIQUE else late).append(idea)
    return [*early, *late][:k]
