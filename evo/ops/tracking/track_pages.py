"""What the pages of a tracker say: the tree and its attempts, read from the store and the attempt folders.

Invariant: nothing is read here but experiments, attempts, metrics and mid-evaluations. No held-out or vault item, mean
or message can be on a page: of a mid-evaluation only items of the mid slice are shown, reasons and messages of failures
(which may name sealed items) never.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from pathlib import Path

from evo.clock import seconds_since
from evo.data import seal
from evo.domain.attempt import Attempt
from evo.domain.experiment import ROOT, Experiment
from evo.domain.job import AttemptFolder
from evo.errors import EvoError
from evo.files import sha256_json
from evo.lightdata import dataclass, field, replace
from evo.ops.tracking.track import project_name, run_id, tree_name
from evo.ops.tracking.track_curves import mid_files
from evo.session import Session
from evo.store import attempts, events, experiments, nodes
from evo.track.base import Artifact, Cell, Page, Table
from evo.track.chart import Node

MOST_NODES = 10_000
"""Rows of the node table: what wandb holds in one."""
NODE_COLUMNS = [
    *("id", "parent", "depth", "state", "recipe", "technique", "hypothesis"),
    *("score", "score_se", "score_n", "delta", "attempts", "gpu_seconds"),
]


@dataclass(frozen=True)
class Entry:
    """One attempt as a page. `is_live`: it is at work now; one that has ended changes in its standing alone.

    `body` is a hash of what the page was begun with and of its curve, `head` of the final numbers.
    """

    page: Page
    attempt: Attempt
    folder: AttemptFolder
    is_live: bool
    summary: dict[str, Cell]
    artifact: Artifact | None
    body: str
    head: str

    @property
    def is_over(self) -> bool:
        return self.attempt.outcome is not None


@dataclass(frozen=True)
class TreePage:
    page: Page
    table: Table
    nodes: list[Node]
    summary: dict[str, Cell]
    head: str


@dataclass(frozen=True)
class Survey:
    entries: list[Entry]
    tree: TreePage
    last_event: int
    prompts: dict[str, str] = field(default_factory=dict)
    """Item of the mid slice -> its question."""


def survey(session: Session, before: Survey | None = None) -> Survey:
    """Everything that a tracker could be told, as it stands now; parents before their children.

    `before`: an earlier one, which is taken over where the store has not changed since.
    """
    last_event = max((event.id for event in events.latest(session.db, limit=1)), default=0)
    if before is not None and before.last_event == last_event:
        return replace(before, entries=[_again(session, entry) for entry in before.entries])
    known = {experiment.id: experiment for experiment in experiments.all(session.db)}
    depths = _depths(known)
    tree = tree_name(session)
    tries: dict[str, list[Attempt]] = {}
    entries = []
    for owner in known.values():
        tries[owner.id] = attempts.of(session.db, owner.id)
        for attempt in tries[owner.id]:
            entries.append(_entry(session, attempt, owner, known, depth=depths[owner.id], tree=tree))
    return Survey(entries, _tree_page(session, known, depths, tries, tree), last_event, _prompts(session))


def _again(session: Session, entry: Entry) -> Entry:
    """The same entry, as it is at work by now."""
    return entry if entry.is_over else replace(entry, is_live=is_heard(session, entry.attempt, entry.folder))


def _depths(known: Mapping[str, Experiment]) -> dict[str, int]:
    """Steps from the root. Parents are older than their children, and come first."""
    found: dict[str, int] = {}
    for experiment in known.values():
        found[experiment.id] = found.get(experiment.parent or "", -1) + 1
    return found


def _entry(
    session: Session, attempt: Attempt, owner: Experiment, known: Mapping[str, Experiment], *, depth: int, tree: str
) -> Entry:
    folder = session.layout.attempt(owner.id, attempt.n)
    parent = known.get(owner.parent or "")
    origin = _origin(owner)
    page = Page(
        id=run_id(tree, owner.id, attempt.n),
        project=project_name(session.config),
        group=tree,
        name=owner.id,
        job_type=owner.technique,
        config={
            "experiment": owner.id, "attempt": attempt.n, "parent": owner.parent, "depth": depth,
            "hypothesis": owner.hypothesis, "recipe": owner.recipe, "technique": owner.technique,
            "params": dict(owner.params), "seed": attempt.seed, "starts_from": owner.start_from or None,
        },
        uses=[] if origin is None else [f"{tree}-{origin}"],
        started_at=attempt.created_at,
    )  # fmt: skip
    summary = _summary(attempt, owner, parent)
    artifact = _artifact(attempt, owner, tree)
    curve = [_size(folder.metrics), sorted(path.name for path in mid_files(folder))]
    return Entry(
        page=page,
        attempt=attempt,
        folder=folder,
        is_live=is_heard(session, attempt, folder),
        summary=summary,
        artifact=artifact,
        body=sha256_json([page.config, curve]),
        head=sha256_json([summary, artifact.metadata if artifact else None]),
    )


def _origin(owner: Experiment) -> str | None:
    """The experiment whose weights this one started from."""
    if owner.id == ROOT:
        return None
    if owner.start_from == "parent":
        return owner.parent
    identifier = owner.start_from.partition(":")[0]
    return ROOT if identifier in ("", "base") else identifier


def _summary(attempt: Attempt, owner: Experiment, parent: Experiment | None) -> dict[str, Cell]:
    """Final numbers; the score belongs to the experiment, and is shown on its good attempts only."""
    told: dict[str, Cell] = {
        "state": owner.state,
        "outcome": attempt.outcome or attempt.state,
        "failure": attempt.failure or None,
        "train_seconds": attempt.train_seconds,
        "eval_seconds": attempt.eval_seconds,
        "gpu_seconds": attempt.gpu_seconds,
        "is_noop": attempt.is_noop,
        **{f"training/{name}": value for name, value in attempt.summary.items()},
    }
    if attempt.outcome == "ok" and owner.score_mean is not None:
        told |= {
            "score": owner.score_mean,
            "score_se": owner.score_se,
            "score_n": owner.score_n,
            "eval/score": owner.score_mean,
            "delta": _delta(owner, parent),
        }
    return {name: value for name, value in told.items() if value is not None}


def _artifact(attempt: Attempt, owner: Experiment, tree: str) -> Artifact | None:
    """The weights that children start from, by reference."""
    if attempt.outcome != "ok" or owner.primary_attempt != attempt.n:
        return None
    facts: dict[str, object] = {
        "experiment": owner.id, "attempt": attempt.n, "parent": owner.parent, "recipe": owner.recipe,
        "weights_sha256": attempt.weights_hash, "score": owner.score_mean, "state": owner.state,
    }  # fmt: skip
    return Artifact(f"{tree}-{owner.id}", f"evo://{tree}/{owner.id}/{attempt.n}", facts)


def _tree_page(
    session: Session,
    known: Mapping[str, Experiment],
    depths: Mapping[str, int],
    tries: Mapping[str, list[Attempt]],
    tree: str,
) -> TreePage:
    rows: list[list[Cell]] = []
    for owner in list(known.values())[:MOST_NODES]:
        parent = known.get(owner.parent or "")
        spent = math.fsum(attempt.gpu_seconds for attempt in tries.get(owner.id, []))
        rows.append([
            owner.id, owner.parent, depths[owner.id], owner.state, owner.recipe, owner.technique, owner.hypothesis,
            owner.score_mean, owner.score_se, owner.score_n, _delta(owner, parent), len(tries.get(owner.id, [])), spent,
        ])  # fmt: skip
    summary: dict[str, Cell] = {f"states/{state}": n for state, n in nodes.counts(session.db).items()}
    summary["experiments"] = len(known)
    summary["best"] = nodes.best(session.db, session.epoch) if session.epoch else None
    metric = session.config.metric
    page = Page(
        id=f"{tree}-summary",
        project=project_name(session.config),
        group=tree,
        name=f"{tree} (tree)",
        job_type="tree",
        config={"metric": metric.name, "direction": metric.direction, "policy": session.config.search.policy},
        started_at=known[ROOT].created_at,
    )
    drawn = [Node(owner.id, owner.parent, owner.state, owner.score_mean, owner.hypothesis) for owner in known.values()]
    return TreePage(page, Table("nodes", NODE_COLUMNS, rows), drawn, summary, sha256_json([rows, summary]))


def _delta(owner: Experiment, parent: Experiment | None) -> float | None:
    if owner.score_mean is None or parent is None or parent.score_mean is None or parent.epoch != owner.epoch:
        return None
    return owner.score_mean - parent.score_mean


def is_heard(session: Session, attempt: Attempt, folder: AttemptFolder) -> bool:
    """True for an attempt at work: its supervisor was heard of lately, and more than an evaluation is owed."""
    if attempt.state not in ("queued", "running") or folder.result.exists():
        return False
    patience = session.config.run.stale_after_s
    try:
        return time.time() - folder.heartbeat.lstat().st_mtime <= patience
    except FileNotFoundError:
        return seconds_since(attempt.created_at) <= patience


def has_own_run(entry: Entry) -> bool:
    """True when the training script keeps a wandb run of this id by itself: it is not instrumented a second time."""
    return any((entry.folder.home / "wandb").glob(f"*run-*-{entry.page.id}"))


def _prompts(session: Session) -> dict[str, str]:
    try:
        return {item.id: item.question for item in seal.load_split(session.layout.root, "mid")}
    except EvoError:
        return {}


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0
