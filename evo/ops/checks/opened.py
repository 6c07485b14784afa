"""The files that a run opened, as the sandbox saw it: looked through for evaluation items after training.

What evo laid before the run (its own folder apart from worktrees, the interpreter, the base model) and what was checked
as declared data is passed over. A late finding contaminates; the score stays on record. Invariant: weights that were
trained beside a leaked file do not become clean when the file does.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from evo.beliefs import form_beliefs, remember_best
from evo.data.leaks.match import Match
from evo.data.seal import split_path
from evo.domain.experiment import Experiment
from evo.domain.finding import Finding
from evo.domain.item import Split
from evo.errors import Denied, EvoError
from evo.files import read_json, sha256_file
from evo.lightdata import replace
from evo.ops.checks import leaks, provenance
from evo.ops.judging.judge import base_model
from evo.session import Session
from evo.store import datasets, experiments, findings, gate_rows

SOURCE = "opened"
LISTING = "opened.json"
OPEN_SPLITS: tuple[Split, ...] = ("dev", "mid")
LARGEST = 500_000_000
"""Bytes; a larger file is named, not read."""
_SYSTEM = ("/usr", "/lib", "/lib64", "/bin", "/sbin", "/etc", "/proc", "/sys", "/dev")
_SNIFFED = 8192


def look(session: Session, experiment: Experiment, n: int) -> str:
    """Why attempt `n` contaminates, by what it opened; empty where nothing does, or nothing is known."""
    listing = session.layout.attempt(experiment.id, n).root / LISTING
    if not listing.is_file():
        return ""
    try:
        found = [entry for path in _foreign(session, experiment, _files(listing)) for entry in _findings(session, path)]
    except EvoError as error:
        found = [Finding(SOURCE, "unreadable", "warn", f"what the run opened is not known: {error.message}")]
    findings.replace(session.db, SOURCE, found[: leaks.MOST_FINDINGS], experiment=experiment.id, attempt=n)
    return standing(session, experiment)


def condemn_late(session: Session, experiment: Experiment, n: int) -> Denied | None:
    """Contaminated after all, where the run opened evaluation items; the score stays on record. None where not."""
    found = look(session, experiment, n)
    if not found:
        return None
    if experiment.state == "committed":
        gate_rows.void(session.db, experiment.id, reason=found)
    if experiment.state != "contaminated":
        experiments.move(session.db, experiment.id, "contaminated", reason=found, class_="data")
        remember_best(session, form_beliefs(session))
    return Denied(f"{experiment.id} is contaminated: {found}", hint="its score stays on record; branch from its parent")


def standing(session: Session, experiment: Experiment) -> str:
    """What an earlier look found and `leaks.allow` does not allow now."""
    for known in findings.blocks(session.db, experiment.id):
        if known.finding.source == SOURCE and not _is_allowed(session, known.finding.evidence):
            return f"the run opened {known.finding.message}"
    return ""


def _is_allowed(session: Session, evidence: Mapping[str, Any]) -> bool:
    allow = session.config.leaks.allow
    return not isinstance(allow, int) and evidence.get("item") in allow


def _files(listing: Path) -> list[Path]:
    data = read_json(listing)
    names = data.get("files", []) if isinstance(data, dict) else []
    return [Path(name) for name in names if isinstance(name, str)]


def _foreign(session: Session, experiment: Experiment, files: list[Path]) -> Iterator[Path]:
    """What neither evo nor the system laid there, and nobody has looked at yet. Names count from the worktree."""
    worktree = session.layout.worktree(experiment.id)
    known = {dataset.sha256 for _, dataset in datasets.of(session.db, experiment.id)}
    roots = [*map(Path, _SYSTEM), Path(sys.prefix), Path(sys.base_prefix)]
    if (model := base_model(session)) is not None:
        roots.append(model)
    for name in dict.fromkeys(files):
        path = (worktree / name).resolve()
        is_own = path.is_relative_to(session.layout.hidden) and not path.is_relative_to(worktree)
        is_sealed = path.is_relative_to(session.layout.sealed)
        if (is_own and not is_sealed) or any(path.is_relative_to(root) for root in roots) or not path.is_file():
            continue
        if is_sealed or not (_is_binary(path) or sha256_file(path) in known):
            yield path


def _is_split(session: Session, path: Path) -> bool:
    """The open splits, in the workspace or as its worktrees have them."""
    roots = [session.layout.root]
    if path.is_relative_to(session.layout.worktrees):
        roots.append(session.layout.worktrees / path.relative_to(session.layout.worktrees).parts[0])
    return any(path == split_path(root, split) for root in roots for split in OPEN_SPLITS)


def _is_binary(path: Path) -> bool:
    with path.open("rb") as file:
        return b"\0" in file.read(_SNIFFED)


def _findings(session: Session, path: Path) -> Iterator[Finding]:
    name = provenance.shown(session, path)
    if path.is_relative_to(session.layout.sealed):
        yield Finding(SOURCE, "sealed", "block", f"{name}, which is sealed", {"file": name})
    elif _is_split(session, path):
        yield Finding(SOURCE, "split", "warn", f"{name}: the run read the items that it is scored on", {"file": name})
    elif path.stat().st_size > LARGEST:
        yield Finding(SOURCE, "large", "warn", f"{name}: too large to be looked through", {"file": name})
    else:
        matches = _matches(session, path)
        for entry in leaks.judge(session, [replace(match, file=name) for match in matches]).found:
            yield Finding(SOURCE, entry.kind, entry.severity, entry.message, entry.evidence, entry.next)


def _matches(session: Session, path: Path) -> list[Match]:
    try:
        return leaks.check(session, path).matches
    except EvoError:
        return []  # neither rows nor text
