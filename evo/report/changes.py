"""What differs between two experiments: parameters, data, and the files of their worktrees.

Invariant: git is asked for differences and writes nothing, not even its index.
"""

from __future__ import annotations

from pathlib import Path

from evo.domain.experiment import ROOT, Experiment
from evo.domain.read_views import ChangeView, FileChangeView
from evo.errors import Refused
from evo.session import Session
from evo.store import datasets
from evo.workspace.git import git
from evo.workspace.repository import branch_of


def between(session: Session, a: Experiment, b: Experiment) -> list[ChangeView]:
    """Recipe, start weights, seed, parameters and datasets that differ, by name."""
    left, right = _facts(session, a), _facts(session, b)
    names = dict.fromkeys([*left, *right])
    return [ChangeView(name, left.get(name), right.get(name)) for name in names if left.get(name) != right.get(name)]


def _facts(session: Session, experiment: Experiment) -> dict[str, object]:
    if experiment.id == ROOT:
        return {"recipe": experiment.recipe}
    used: dict[str, list[str]] = {}
    for role, dataset in datasets.of(session.db, experiment.id):
        told = f"{dataset.source or dataset.path} ({dataset.lines} lines, {dataset.sha256[:12]})"
        used.setdefault(f"data.{role}", []).append(told)
    facts = {"recipe": experiment.recipe, "start": experiment.start_from, "seed": experiment.seed}
    return facts | dict(sorted(experiment.params.items())) | {name: ", ".join(told) for name, told in used.items()}


def tip(session: Session, experiment: Experiment, *, beside: str | None = None) -> str | None:
    """The commit that holds the experiment's files; None where it has none yet.

    The root has no files of its own: for it, the commit of the workspace that `beside` branched from.
    """
    root = session.layout.root
    if experiment.id == ROOT:
        return None if beside is None else git(root, "merge-base", beside, "HEAD").strip()
    if experiment.commit is not None:
        return experiment.commit
    try:
        return git(root, "rev-parse", "--verify", "--quiet", f"refs/heads/{branch_of(experiment.id)}").strip()
    except Refused:
        return None


def ends(session: Session, a: Experiment, b: Experiment) -> tuple[str, str] | None:
    """The two commits to compare; None where one is missing."""
    left, right = tip(session, a), tip(session, b)
    left, right = left or tip(session, a, beside=right), right or tip(session, b, beside=left)
    return (left, right) if left is not None and right is not None else None


def files_changed(folder: Path, *revisions: str) -> list[FileChangeView]:
    """Files that differ between two commits, or between one commit and the files in `folder`."""
    return parse_numstat(git(folder, "diff", "--numstat", "-z", "--no-renames", "--no-ext-diff", *revisions, "--"))


def parse_numstat(text: str) -> list[FileChangeView]:
    """`git diff --numstat -z --no-renames`: added TAB removed TAB path NUL, `-` for binary files."""
    views = []
    for entry in text.split("\0"):
        if entry:
            added, removed, path = entry.split("\t", 2)
            views.append(FileChangeView(path, _lines(added), _lines(removed)))
    return views


def _lines(text: str) -> int | None:
    return None if text == "-" else int(text)
