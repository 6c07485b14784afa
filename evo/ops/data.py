"""`evo data`: seal, status, check."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from evo.data import seal as sealed
from evo.data.leaks.check import find_copies
from evo.data.reader import read_rows
from evo.domain.item import Item
from evo.domain.upkeep_views import DataStatusView, LeaksView, LeakView
from evo.domain.views import LooksView
from evo.errors import Refused
from evo.gate.power import obstacles
from evo.ops import sealing
from evo.ops.checks import leaks
from evo.ops.sealing import GoldRequest
from evo.session import Session
from evo.store import gate_rows
from evo.validation import plain

MOST_FINDINGS = 50


def seal(session: Session, request: GoldRequest) -> tuple[DataStatusView, tuple[str, ...]]:
    """Seal gold items in a workspace that has none."""
    train = session.layout.data / "train.jsonl"
    settings = session.config.splits
    mid = 0 if session.config.eval.backend == "command" else settings.mid
    plan = sealing.plan(request, train=train if train.is_file() else None, mid=mid, seed=settings.seed)
    if plan is None:
        raise Refused("no items were named", hint="evo data seal --gold FILE")
    warnings = sealing.write(session.layout, session.config, plan)
    view, more = status(session)
    return view, (*warnings, *more)


def status(session: Session) -> tuple[DataStatusView, tuple[str, ...]]:
    """Counts, looks, and what these numbers can show."""
    root = session.layout.root
    manifest = sealed.read_manifest(root)
    counts = {split: record.n for split, record in manifest.splits.items()}
    power = sealing.power(counts.get("dev", 0), counts.get("heldout", 0), alpha=session.config.gate.alpha)
    problems = sealed.verify_manifest(root)
    copies = plain_copies(session)
    view = DataStatusView(
        splits=counts,
        heldout_hash=manifest.heldout_hash,
        looks=LooksView(gate_rows.looks_used(session.db, manifest.heldout_hash), session.config.gate.looks),
        asks_at=power.asks_at,
        certifies=power.certifies,
        plain_copies=[str(path) for path in copies],
        intact=not problems,
    )
    warned = [f"{path} holds sealed items in the clear: move it off this machine" for path in copies]
    return view, (*problems, *warned, *obstacles_of(sealed.load_split(root, "heldout")))


def obstacles_of(heldout: Sequence[Item]) -> list[str]:
    """What keeps these held-out items from certifying; an item without a cluster is one of its own, as in the test."""
    clusters = len({item.cluster or item.id for item in heldout}) if any(item.cluster for item in heldout) else None
    return obstacles(len(heldout), clusters)


def plain_copies(session: Session) -> list[Path]:
    """Files of the workspace, outside `.evo`, that hold sealed items in the clear."""
    root = session.layout.root
    items = [item for split in sealed.SEALED for item in sealed.load_split(root, split)]
    found = []
    for path in sorted(root.glob("*.jsonl")) + sorted(session.layout.data.glob("*.jsonl")):
        if path.name not in ("dev.jsonl", "mid.jsonl") and find_copies(read_rows(path), items, file=path):
            found.append(path)
    return found


def check(session: Session, path: Path, *, on_progress: leaks.OnProgress = lambda _done, _all: None) -> LeaksView:
    """Lines of `path` that hold sealed or dev items; file, line, item and method, never the text."""
    checked = leaks.check(session, path, keeps=False, on_progress=on_progress)
    found = sorted(checked.matches, key=lambda match: match.severity)
    views = [LeakView(**plain(match)) for match in found[:MOST_FINDINGS]]
    blocking = sum(match.severity == "block" for match in found)
    return LeaksView(views, checked.lines, len(found) > MOST_FINDINGS, blocking, len(found) - blocking)
