"""`evo diff EXP`: what an experiment changed against its parent, or against another one.

Invariant: where the worktree stands, its files as they are now are shown, committed or not; otherwise its commit.
"""

from __future__ import annotations

from pathlib import Path

from evo.domain.experiment import ROOT, Experiment, parse_experiment_id
from evo.domain.read_views import DiffView
from evo.domain.views import Hint, Reply
from evo.errors import Refused, UsageError
from evo.report.changes import between, ends, files_changed
from evo.session import Session, open_session
from evo.store import experiments
from evo.workspace.git import git

WIDEST = 2000
"""Characters of one line that are shown: a line of data may be a megabyte."""


def diff_reply(exp: str, *, against: str | None, stat: bool, limit: int) -> Reply:
    name = parse_experiment_id(exp)
    other = None if against is None else parse_experiment_id(against)
    with open_session(readonly=True) as session:
        view = diff_view(session, name, against=other, stat=stat, limit=limit)
        new = untracked(session, name)
    told = f"new files, which the diff leaves out until a run commits them: {', '.join(new[:10])}"
    files_only = Hint(f"evo diff {view.experiment} --against {view.against} --stat", "files and counts only")
    return Reply(view, next=(files_only,) if view.truncated else (), warnings=(told,) if new else ())


def diff_view(
    session: Session, identifier: str, *, against: str | None = None, stat: bool = False, limit: int = 500
) -> DiffView:
    experiment = experiments.get(session.db, identifier)
    base = against or experiment.parent
    if base is None:
        raise UsageError(f"{ROOT} has no parent", hint=f"evo diff {ROOT} --against exp_0001")
    if base == identifier:
        raise UsageError(f"{identifier} is compared with itself", hint="name two experiments")
    other = experiments.get(session.db, base)
    folder, revisions = what_to_compare(session, other, experiment)
    lines = [] if stat else patch(folder, revisions)
    files = files_changed(folder, *revisions)
    return DiffView(
        experiment=identifier,
        against=base,
        files=files[:limit],
        text="\n".join(line[:WIDEST] for line in lines[:limit]),
        truncated=len(lines) > limit or len(files) > limit,
        changes=between(session, other, experiment),
    )


def what_to_compare(session: Session, other: Experiment, experiment: Experiment) -> tuple[Path, list[str]]:
    """Where to ask git, and about which revisions: one alone is set against the files of the worktree."""
    found = ends(session, other, experiment)
    if found is None:
        raise Refused(f"{other.id} or {experiment.id} has no files to compare", hint="evo fsck")
    old, new = found
    if has_worktree(session, experiment.id):
        return session.layout.worktree(experiment.id), [old]
    return session.layout.root, [old, new]


def has_worktree(session: Session, identifier: str) -> bool:
    return (session.layout.worktree(identifier) / ".git").exists()


def untracked(session: Session, identifier: str) -> list[str]:
    """Files of the worktree that git neither tracks nor ignores."""
    if not has_worktree(session, identifier):
        return []
    names = git(session.layout.worktree(identifier), "ls-files", "-z", "--others", "--exclude-standard")
    return [name for name in names.split("\0") if name]


def patch(folder: Path, revisions: list[str]) -> list[str]:
    return git(folder, "diff", "--no-color", "--no-ext-diff", "--no-textconv", *revisions, "--").splitlines()
