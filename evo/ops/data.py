"""`evo data`: seal, status, check, register, retract."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from evo.beliefs import form_beliefs, remember_best
from evo.data import guards
from evo.data import seal as sealed
from evo.data.leaks.check import find_copies
from evo.data.reader import read_rows, read_source
from evo.domain.finding import Finding
from evo.domain.item import Item
from evo.domain.upkeep_views import DatasetView, DataStatusView, GuardSealView, LeaksView, LeakView, RetractView
from evo.domain.views import LooksView
from evo.errors import Refused, UsageError
from evo.gate.power import obstacles
from evo.lightdata import replace
from evo.ops.checks import leaks, provenance
from evo.ops.judging import sealing
from evo.ops.judging.sealing import GoldRequest
from evo.ops.upkeep import guard_problems
from evo.registry import needing
from evo.session import Session
from evo.store import datasets, findings, gate_rows
from evo.store.datasets import Dataset, Derived
from evo.validation import plain

MOST_FINDINGS = 50
MOST_DATASETS = 50


def seal(session: Session, request: GoldRequest) -> tuple[DataStatusView, tuple[str, ...]]:
    """Seal gold items in a workspace that has none."""
    warnings = sealing.write(session.layout, session.config, plan_of(session, request))
    view, more = status(session)
    return view, (*warnings, *more)


def plan_of(session: Session, request: GoldRequest) -> sealing.Plan:
    """What would be sealed as what. Refused where no items are named."""
    train = session.layout.data / "train.jsonl"
    settings = session.config.splits
    mid = 0 if session.config.eval.backend == "command" else settings.mid
    plan = sealing.plan(request, train=train if train.is_file() else None, mid=mid, seed=settings.seed)
    if plan is None:
        raise Refused("no items were named", hint="evo data seal --gold FILE")
    return plan


def status(session: Session) -> tuple[DataStatusView, tuple[str, ...]]:
    """Counts, looks, and what these numbers can show; the guards' seals beside the gold's."""
    root = session.layout.root
    manifest = sealed.read_manifest(root)
    counts = {split: record.n for split, record in manifest.splits.items()}
    power = sealing.power(counts.get("dev", 0), counts.get("heldout", 0), alpha=session.config.gate.alpha)
    faults = guard_problems(session)
    problems = [*sealed.verify_manifest(root), *(problem for each in faults.values() for problem in each)]
    copies = plain_copies(session)
    view = DataStatusView(
        splits=counts,
        heldout_hash=manifest.heldout_hash,
        looks=LooksView(gate_rows.looks_used(session.db, manifest.heldout_hash), session.config.gate.looks),
        asks_at=power.asks_at,
        certifies=power.certifies,
        plain_copies=[str(path) for path in copies],
        intact=not problems,
        guards=[
            GuardSealView(name, record.dev.n, record.heldout.n, record.heldout.sha256, not faults[name])
            for name, record in guards.records(root).items()
        ],
        datasets=[dataset_view(session, row) for row in datasets.newest(session.db, limit=MOST_DATASETS)],
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
    items = [item for each in guards.sealed_items(root).values() for item in each]
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
    view = LeaksView(views, checked.lines, len(found) > MOST_FINDINGS, blocking, len(found) - blocking)
    return embedded(session, path, view)


def embedded(session: Session, path: Path, view: LeaksView) -> LeaksView:
    """With what `leaks.embedding` finds beside it, where that is set; it never blocks."""
    if not session.config.leaks.embedding:
        return view
    model = session.layout.root / session.config.leaks.embedding
    with needing("train"):
        embedding = import_module("evo.data.leaks.embedding")
    found = embedding.nearest(path, leaks.golds(session), model)
    known = {(entry.line, entry.item) for entry in view.findings}
    more = [LeakView(**plain(match)) for match in found if (match.line, match.item) not in known]
    return replace(view, findings=[*view.findings, *more[:MOST_FINDINGS]])


def dataset_view(session: Session, dataset: Dataset) -> DatasetView:
    return DatasetView(
        sha256=dataset.sha256,
        path=dataset.path,
        lines=dataset.lines,
        source=dataset.source,
        transform=dataset.transform,
        parents=list(dataset.parents),
        derived=dataset.derived,
        retracted=dataset.retracted,
        experiments=datasets.users(session.db, dataset.sha256)[:MOST_FINDINGS],
    )


def register(
    session: Session, path: Path, *, parents: Sequence[str] = (), derived: Derived = "", transform: str = ""
) -> DatasetView:
    """A row for a file (or a folder of documents): what it was made from, and how. Known ones gain what they lacked."""
    rows = read_source(path)
    above = tuple(provenance.find(session, parent).sha256 for parent in parents)
    sha256 = provenance.identity(path, str(path))
    if sha256 in above:
        raise UsageError(f"{path} cannot be its own parent", hint="--parents names what it was made from")
    name = provenance.shown(session, path.resolve())
    datasets.register(session.db, Dataset(sha256, name, len(rows), name, transform, above, derived))
    return dataset_view(session, datasets.get(session.db, sha256))


def retract(session: Session, name: str, *, reason: str) -> RetractView:
    """Take a dataset back, with all that was made from it: certificates of what was trained on it become void.

    An experiment that was trained on it, or descends from one that was, carries a finding that stops a commit. A
    second call changes nothing.
    """
    dataset = provenance.find(session, name)
    fresh = datasets.retract(session.db, dataset.sha256, reason=reason)
    why = f"dataset {dataset.path} was retracted" + (f": {reason}" if reason else "")
    touched = datasets.descended(session.db, dataset.sha256)
    voided = []
    for identifier in touched:
        note_retraction(session, identifier, dataset, why)
        if gate_rows.certificate_of(session.db, identifier) is not None:
            gate_rows.void(session.db, identifier, reason=why)
            voided.append(identifier)
    if voided:
        remember_best(session, form_beliefs(session))
    return RetractView(dataset.sha256, dataset.path, [row.path for row in fresh], touched, voided, bool(fresh))


def note_retraction(session: Session, identifier: str, dataset: Dataset, why: str) -> None:
    """Beside what was found before: several datasets of an experiment may be taken back."""
    known = [found.finding for found in findings.of(session.db, identifier, source=provenance.SOURCE)]
    facts = {"dataset": dataset.sha256, "path": dataset.path}
    step = "train again without it: evo new --parent exp_0000"
    found = Finding(provenance.SOURCE, "retracted", "block", f"{why} ({dataset.sha256[:12]})", facts, step)
    if not any(entry.evidence.get("dataset") == dataset.sha256 for entry in known):
        findings.replace(session.db, provenance.SOURCE, [*known, found], experiment=identifier)
