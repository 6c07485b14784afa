"""`evo wandb`: what the mirror has done, and doing it now.

Invariant: `status` writes nothing, and asks no tracker.
"""

from __future__ import annotations

import os

from evo.domain.track_views import MirrorStatusView, SyncView
from evo.errors import MissingExtra
from evo.ops.tracking import mirror
from evo.ops.tracking.mirror import Sent
from evo.ops.tracking.track import Places, choose, for_sync, is_running, problem_of, project_name, tree_name
from evo.ops.tracking.track_pages import survey
from evo.runner import records
from evo.session import Session


def sync(session: Session, *, rebuild: bool, offline: bool) -> tuple[SyncView, tuple[str, ...]]:
    """Write everything that is owed. MissingExtra: there is no such library. TrackerDown: it failed, offline too."""
    choice = for_sync(session.config, os.environ, offline=offline)
    if problem_of(choice):
        raise MissingExtra(choice.name, choice.name)
    told = mirror.sync(session, choice, rebuild=rebuild)
    warnings = (f"written offline instead: {told.problem}",) if told.problem else ()
    return SyncView(told.choice.name, told.choice.mode, told.pages, str(session.layout.track)), warnings


def status(session: Session) -> MirrorStatusView:
    choice = choose(session.config, os.environ)
    places = Places(session.layout.track)
    sent = Sent(places.sent, choice)
    found = survey(session)
    told = [entry for entry in found.entries if entry.is_over and sent.has(entry.page.id, entry.body, entry.head)]
    over = [entry for entry in found.entries if entry.is_over]
    last = records.read_record(str(places.status)) or {}
    return MirrorStatusView(
        tracker=choice.name,
        mode=choice.mode,
        why=choice.why,
        project=project_name(session.config),
        tree=tree_name(session),
        folder=str(places.root),
        told=len(told),
        owed=0 if choice.name == "none" else len(over) - len(told),
        is_running=is_running(places),
        problem=problem_of(choice) or str(last.get("problem") or ""),
    )
