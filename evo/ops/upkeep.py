"""Keeping the house: `fsck`, `backup`, `gc`.

Invariant: only weights of failed and discarded experiments that nobody descends from or starts from, and that are no
declared artifact, are ever deleted, and never before they were listed.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from evo.clock import now
from evo.data import guards, seal
from evo.errors import FileFormatError, NotFound, Refused
from evo.lightdata import dataclass
from evo.session import Session
from evo.store import artifacts, attempts, events, experiments, fsck, meta


@dataclass(frozen=True)
class Garbage:
    experiment: str
    path: Path
    size: int


def check(session: Session) -> list[fsck.Finding]:
    """What is wrong with the tree, the folders beside it, and the seals."""
    return [*fsck.check(session.db, session.layout.hidden), *_seal_findings(session)]


def _seal_findings(session: Session) -> Iterator[fsck.Finding]:
    root = session.layout.root
    fix = f"bring it back from a copy; `chmod -R go= {session.layout.sealed}` closes the folder"
    try:
        problems = seal.verify_manifest(root)
    except FileFormatError as error:
        problems = [error.message]
    except NotFound:
        problems = [f"{seal.manifest_path(root)} is gone"] if session.heldout_hash else []
    try:
        problems += [problem for each in guard_problems(session).values() for problem in each]
    except FileFormatError as error:
        problems.append(error.message)
    yield from (fsck.Finding("error", problem, fix) for problem in problems)


def guard_problems(session: Session) -> dict[str, list[str]]:
    """Guard -> what is wrong with its sealed items; each guard of evo.yaml that was ever scored is looked for."""
    scored = meta.get(session.db, "guards", default={})
    expected = [guard.name for guard in session.config.guards if guard.items and guard.name in scored]
    return guards.verify(session.layout.root, expected=expected)


def backup(session: Session, target: Path | None) -> Path:
    """Copy the database, consistent even while others write. Refused when the target exists."""
    path = target or session.layout.reports / f"evo-{now().replace(':', '')}.db"
    if path.exists():
        raise Refused(f"{path} exists", hint="name another file")
    path.parent.mkdir(parents=True, exist_ok=True)
    return fsck.backup(session.db, path)


def garbage(session: Session) -> list[Garbage]:
    """Weights that nothing needs any more."""
    found = []
    starts = {experiment.start_from.partition(":")[0] for experiment in experiments.all(session.db)}
    for experiment in experiments.all(session.db):
        if experiment.state not in ("failed", "discarded") or experiment.id in starts:
            continue
        if experiments.children(session.db, experiment.id):
            continue
        declared = {Path(artifact.uri) for artifact in artifacts.of(session.db, experiment.id)}
        for attempt in attempts.of(session.db, experiment.id):
            output = session.layout.attempt(experiment.id, attempt.n).output
            if attempt.outcome is None or not output.is_dir() or any(output in (p, *p.parents) for p in declared):
                continue
            size = sum(path.stat().st_size for path in output.rglob("*") if path.is_file())
            found.append(Garbage(experiment.id, output, size))
    return found


def collect_garbage(session: Session) -> list[Garbage]:
    """Delete what `garbage` lists, writing down each."""
    gone = garbage(session)
    for entry in gone:
        shutil.rmtree(entry.path)
        events.append(session.db, "weights deleted", experiment=entry.experiment, data={"bytes": entry.size})
    return gone
