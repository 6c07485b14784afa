"""Evaluation items among training rows: looked for before any compute is spent.

Invariant: a finding names file, line, item and method, never a sealed text.
"""

from __future__ import annotations

from pathlib import Path

from evo.config import RecipeConfig
from evo.data import seal as sealed
from evo.data.integrity import Overlap, exact_overlap
from evo.data.mix import Resolved
from evo.data.reader import read_rows
from evo.session import Session


def overlaps(session: Session, path: Path) -> list[tuple[str, Overlap]]:
    rows = read_rows(path)
    return [
        (split, overlap)
        for split in (*sealed.SEALED, "dev")
        for overlap in exact_overlap(rows, sealed.load_split(session.layout.root, split), file=path)
    ]


def leaks_of(session: Session, recipe: RecipeConfig, data: Resolved) -> str:
    """The sentence that condemns a recipe's data, naming its sources' lines; empty when it is clean."""
    if not overlaps(session, data.path):
        return ""
    for part in recipe.data.train:
        source = session.layout.root / part.source
        if source.is_file() and (found := overlaps(session, source)):
            split, first = found[0]
            return (
                f"{part.source}, line {first.line}: holds {split} item {first.item} ({first.kind}); {len(found)} in all"
            )
    return f"{data.path} holds evaluation items"
