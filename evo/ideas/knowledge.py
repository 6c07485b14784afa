"""The shipped knowledge base: papers, what they claim in our words, and how claims stand to each other.

It lies in `kb/` as JSONL, one row a line, and is searched through FTS5. A claim is `checked` when somebody has read it
in its source, `memory` when not: checked ones rank first, whatever the words say.
Invariant: what ships passes `tests/unit/test_ideas_kb.py` (types, titles, patches that their recipes accept, every
claim with its paper, every link with its two claims), so loading trusts it and imports no validator.
"""

from __future__ import annotations

import json
import re
import sqlite3
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from evo.bounds import Ge, MinLen
from evo.ideas.wording import COMMON
from evo.lightdata import dataclass, field
from evo.validation import restore

HOME = Path(__file__).resolve().parent / "kb"
Text = Annotated[str, MinLen(1)]
_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True)
class Paper:
    """`id`: `arxiv:NUMBER` or a URL. `is_verified`: id and title were resolved and matched; `version`: of the row."""

    id: Text
    title: Text
    year: Annotated[int, Ge(1990)]
    is_verified: bool = False
    version: Annotated[int, Ge(1)] = 1

    @property
    def url(self) -> str:
        return self.id.replace("arxiv:", "https://arxiv.org/abs/") if self.id.startswith("arxiv:") else self.id


@dataclass(frozen=True)
class Claim:
    """What a paper says, as a step that one can take. `patch`: parameters of `recipe`, which may be empty.

    `before`/`after` are on `benchmark`, where known. `applies_when`/`avoid_when` name situations (`SITUATIONS`).
    """

    id: Text
    paper: Text
    technique: Text
    reward_shape: Literal["demonstrations", "pairs", "verifiable", "scorer", "corpus", "any"]
    claim: Text
    level: Literal["checked", "memory"]
    model_family: str = ""
    model_size: str = ""
    benchmark: str = ""
    before: float | None = None
    after: float | None = None
    recipe: str = ""
    patch: dict[str, Any] = field(default_factory=dict)
    applies_when: list[str] = field(default_factory=list)
    avoid_when: list[str] = field(default_factory=list)
    version: Annotated[int, Ge(1)] = 1


@dataclass(frozen=True)
class Link:
    """`source` contradicts, refines or replicates `target`; both are claims."""

    source: Text
    target: Text
    kind: Literal["contradicts", "refines", "replicates"]
    version: Annotated[int, Ge(1)] = 1


SITUATIONS = frozenset(
    {
        *("demonstrations", "pairs", "verifiable", "scorer", "rubric", "tool-calls", "code", "teacher"),  # the task
        *("few-examples", "many-examples", "noisy-labels", "multi-reward", "small-dev", "leak-suspected"),  # the data
        *("below-chance", "base-zero", "base-low", "base-some", "small-model", "cuda", "lora"),  # the model
        *(
            "before-rl",
            "preferences-done",
            "sft-done",
            "rl-done",
            "siblings",
            "improving",
            "plateau",
            "stuck-at-zero",
            "regression",
        ),  # the tree
        *("overlapping-best", "overfit", "forgetting", "generalisation-gap", "format-errors", "truncated-outputs"),
        *("reward-flat", "reward-saturated", "reward-hacked", "entropy-collapse", "length-drift", "instability"),
        *("out-of-memory", "lora-slow", "corpus"),
    }
)


@dataclass(frozen=True)
class Found:
    """A claim that answers a query, with its paper; `rank` is bm25, smaller is nearer."""

    claim: Claim
    paper: Paper
    rank: float


class KnowledgeBase:
    """Papers, claims and links by id, and an index in memory. Opening takes some milliseconds."""

    def __init__(self, papers: list[Paper], claims: list[Claim], links: list[Link]) -> None:
        self.papers = {paper.id: paper for paper in papers}
        self.claims = {claim.id: claim for claim in claims}
        self.links = links
        self._index = sqlite3.connect(":memory:", check_same_thread=False)
        self._index.execute(
            "CREATE VIRTUAL TABLE entry USING fts5 (id UNINDEXED, claim, title, words, tokenize = porter)"
        )
        rows = [(c.id, c.claim, self.papers[c.paper].title, _words_of(c)) for c in claims]
        self._index.executemany("INSERT INTO entry VALUES (?, ?, ?, ?)", rows)

    def search(self, text: str, *, limit: int = 10) -> list[Found]:
        """Claims that share words with `text`: checked ones before remembered ones, each the nearest first."""
        query = or_query(text)
        if not query:
            return []
        found = self._index.execute(
            "SELECT id, bm25(entry, 0, 2.0, 1.5, 1.0) AS distance FROM entry WHERE entry MATCH ? ORDER BY distance",
            (query,),
        )
        hits = [self._found(id, rank) for id, rank in found]
        return sorted(hits, key=lambda hit: (hit.claim.level != "checked", hit.rank))[:limit]

    def fitting(self, situations: frozenset[str]) -> list[Claim]:
        """Claims that apply in one of `situations` and are to be avoided in none: by level, then by how many apply."""
        fitting = [
            c for c in self.claims.values() if situations & set(c.applies_when) and not situations & set(c.avoid_when)
        ]
        return sorted(fitting, key=lambda c: (c.level != "checked", -len(situations & set(c.applies_when)), c.id))

    def linked(self, claim: str) -> list[Link]:
        return [link for link in self.links if claim in (link.source, link.target)]

    def _found(self, id: str, rank: float) -> Found:
        claim = self.claims[id]
        return Found(claim, self.papers[claim.paper], rank)


def or_query(text: str) -> str:
    """An FTS5 query that any of the words satisfies: bare terms would all have to occur."""
    words = dict.fromkeys(word.lower() for word in _WORD.findall(text))
    return " OR ".join(f'"{word}"' for word in words if word not in COMMON)


def _words_of(claim: Claim) -> str:
    named = (claim.technique, claim.recipe, claim.reward_shape, claim.model_family, claim.model_size, claim.benchmark)
    return " ".join([*named, *claim.patch, *claim.applies_when]).replace("_", " ").replace("-", " ")


FILES: tuple[tuple[str, type[Any]], ...] = (("papers", Paper), ("claims", Claim), ("links", Link))


@cache
def load(home: Path = HOME) -> KnowledgeBase:
    return KnowledgeBase(*([restore(kind, row) for row in rows_of(home / f"{name}.jsonl")] for name, kind in FILES))


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
