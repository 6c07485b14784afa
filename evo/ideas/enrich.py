"""What a search of the libraries adds to ideas that are there already.

Without a language model a paper that was found becomes no idea: nothing turns its words into parameters of a recipe.
It stands beside an idea of the same technique as recent work, for a person to read, with its public code if it has any.
Invariant: no step, no predicted gain and no rank is changed by what was found.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from evo.domain.idea import Idea, Reference
from evo.ideas.references import words
from evo.ideas.sources.base import Found
from evo.lightdata import replace

MOST_REFERENCES = 4
MOST_FOUND = 2
RECENT = "recent work beside it"


def enriched(ideas: Sequence[Idea], found: Iterable[Found]) -> list[Idea]:
    """Ideas of the knowledge base and the rules; what a language model proposed cites for itself."""
    papers = list(found)
    return [_enriched(idea, papers) if idea.source in ("kb", "rules") else idea for idea in ideas]


def _enriched(idea: Idea, papers: Sequence[Found]) -> Idea:
    known = {tuple(words(one.title)) for one in idea.references}
    technique = set(words(idea.technique))
    fitting = [
        paper
        for paper in papers
        if technique
        and technique <= set(words(f"{paper.title} {paper.summary}"))
        and tuple(words(paper.title)) not in known
    ]
    room = min(MOST_FOUND, MOST_REFERENCES - len(idea.references))
    more = [_reference(paper, idea.technique) for paper in fitting[: max(0, room)]]
    if not more:
        return idea
    return replace(idea, references=[*idea.references, *more], confidence=[*idea.confidence, RECENT])


def _reference(paper: Found, technique: str) -> Reference:
    """`verified`: address and title are those of the service's own record."""
    code = f"; code: {paper.code}" if paper.code else ""
    said = f"on {technique}, {paper.year or 'undated'}, found by its words and read by nobody{code}"
    return Reference(paper.url, paper.source, paper.title, said, "verified", "found")
