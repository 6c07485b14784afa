"""Evaluation items among training rows: looked for before any compute is spent.

Invariant: a finding names file, line, item and method, never a sealed text.
"""

from __future__ import annotations

import os
from pathlib import Path

from evo.config import RecipeConfig
from evo.data import seal as sealed
from evo.data.integrity import Overlap, exact_overlap
from evo.data.mix import Resolved
from evo.data.reader import Row, read_rows, read_source
from evo.domain.experiment import DECLARED, Experiment
from evo.errors import FileFormatError
from evo.ops.launch import resolve_data
from evo.session import Session
from evo.workspace.recipes import load_recipe
from evo.workspace.repository import ensure_worktree


def overlaps(session: Session, path: Path) -> list[tuple[str, Overlap]]:
    rows = read_source(path)
    return [
        (split, overlap)
        for split in (*sealed.SEALED, "dev")
        for overlap in exact_overlap(rows, sealed.load_split(session.layout.root, split), file=path)
    ]


def leaks_of(session: Session, experiment: Experiment) -> str:
    """Why an experiment is contaminated: sealed items in its worktree, evaluation items in its data; empty: clean."""
    worktree = ensure_worktree(session.layout, experiment)
    if found := sealed_copies(session, worktree):
        return found
    if experiment.origin == DECLARED:
        return ""  # it has no data that evo knows of
    recipe = load_recipe(session.layout, worktree / "recipe").config
    return leaks_in(session, recipe, resolve_data(session, recipe)) if recipe.data.train else ""


def sealed_copies(session: Session, worktree: Path) -> str:
    """A file of the worktree that holds sealed items or leads to them; empty when there is none.

    Files that are equal to the workspace's own were looked at when the items were sealed.
    """
    vault = session.layout.sealed.resolve()
    for folder, subfolders, names in os.walk(worktree):
        for name in (*subfolders, *names):
            path = Path(folder, name)
            if path.is_symlink() and path.resolve().is_relative_to(vault):
                return f"{path.relative_to(worktree)}: a link to sealed items"
            if name.endswith(".jsonl") and path.is_file() and (found := _sealed_lines(session, path, worktree)):
                return found
    return ""


def _sealed_lines(session: Session, path: Path, worktree: Path) -> str:
    name = path.relative_to(worktree)
    if _is_own(session.layout.root / name, path):
        return ""
    for split in sealed.SEALED:
        if found := exact_overlap(_rows(path), sealed.load_split(session.layout.root, split), file=name):
            return f"{name}, line {found[0].line}: holds {split} item {found[0].item}"
    return ""


def _is_own(original: Path, path: Path) -> bool:
    return original.is_file() and original.read_bytes() == path.read_bytes()


def _rows(path: Path) -> list[Row]:
    try:
        return read_rows(path)
    except FileFormatError:
        return []  # no items, then; whoever uses the file will say what is wrong with it


def leaks_in(session: Session, recipe: RecipeConfig, data: Resolved) -> str:
    """The sentence that condemns a recipe's data, naming its sources' lines; empty when it is clean."""
    if not overlaps(session, data.path):
        return ""
    for part in recipe.data.train:
        source = session.layout.root / part.source
        if source.exists() and (found := overlaps(session, source)):
            split, first = found[0]
            return (
                f"{part.source}, line {first.line}: holds {split} item {first.item} ({first.kind}); {len(found)} in all"
            )
    return f"{data.path} holds evaluation items"
