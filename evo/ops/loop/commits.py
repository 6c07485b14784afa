"""An iteration in git: one commit of the loop's own files, with its hypothesis and what it takes to find the rest.

Invariant: whatever else is staged is left alone, and so is a repository that somebody is at: the commit is made later.
A trailer names loop and iteration, so one that a kill has kept from the store is found again and not made twice.
"""

from __future__ import annotations

from contextlib import suppress

from evo.domain.loop import Loop, Pick
from evo.errors import Busy, EvoError
from evo.ideas.secrets import masked
from evo.ops.loop.journal import JOURNAL
from evo.ops.loop.pages import CONTEXT, PLAN, percent
from evo.session import Session
from evo.workspace.git import git, git_dirs, is_index_held
from evo.workspace.repository import commit_files

_TRAILER = "Evo-Iteration"
_UNDER_WAY = {
    "MERGE_HEAD": "a merge",
    "rebase-merge": "a rebase",
    "rebase-apply": "a rebase",
    "CHERRY_PICK_HEAD": "a cherry-pick",
    "REVERT_HEAD": "a revert",
}


def commit(session: Session, pick: Pick, extra: list[str], *, is_patient: bool = False) -> str:
    """The sha, or `none: ` and why git refuses it for good. Busy: somebody is at the repository; where they merely hold
    its index, `is_patient` waits for it."""
    root = session.layout.root
    if busy := under_way(session):
        raise Busy(f"{busy} is under way in this repository, and its index is left alone")
    if not is_patient and is_index_held(root):
        raise Busy("another git holds the index of this repository")
    try:
        return commit_files(root, [CONTEXT, PLAN, JOURNAL, *extra], message_of(pick), is_due=True)
    except Busy:
        raise
    except EvoError as error:
        return f"none: {error.message[:200]}"


def under_way(session: Session) -> str:
    """What somebody is in the middle of, in the repository of the workspace."""
    own = git_dirs(session.layout.root).own
    return next((words for name, words in _UNDER_WAY.items() if (own / name).exists()), "")


def message_of(pick: Pick) -> str:
    told, experiment = pick.told, pick.experiment
    head = percent(told["score"]) if pick.outcome == "scored" else pick.outcome
    lines = [f"iter {pick.k}: {head} — {' '.join(masked(pick.plan.hypothesis).split())[:60]}", ""]
    lines.append(f"{_TRAILER}: {pick.loop}.{pick.k}")
    if experiment is not None:
        lines.append(f"Evo-Experiment: {experiment}")
        data = " ".join(told.get("data", {}).values())
        facts = {"Commit": told.get("commit"), "Data": data, "Evaluation": told.get("epoch")}
        facts |= {"Weights": told.get("weights")}
        lines += [f"Evo-{name}: {value}" for name, value in facts.items() if value]
    return "\n".join(lines)


def found(session: Session, loop: Loop, pick: Pick) -> str:
    """The commit of an iteration since its loop began; empty where there is none."""
    pattern = f"^{_TRAILER}: {pick.loop}\\.{pick.k}$"
    try:
        words = ("log", "-1", "--format=%H", f"--grep={pattern}", f"{loop.start_commit}..HEAD")
        return git(session.layout.root, *words).strip()
    except EvoError:  # the commit that it began on is gone: somebody has written history anew
        return ""


def commit_answer(session: Session, words: str, extra: list[str]) -> None:
    """What an answer of the gate has made certain after its iteration had its commit."""
    if extra:
        _commit_quietly(session, words, extra)


def commit_end(session: Session, loop: Loop) -> None:
    """Of the pages as a loop has left them."""
    _commit_quietly(session, f"loop {loop.id} {loop.status}: {masked(loop.reason)[:200]}", [])


def _commit_quietly(session: Session, words: str, extra: list[str]) -> None:
    """None where git has it all, or somebody is at the repository: the next commit takes it in."""
    if under_way(session):
        return
    with suppress(EvoError):
        commit_files(session.layout.root, [CONTEXT, PLAN, JOURNAL, *extra], words)
