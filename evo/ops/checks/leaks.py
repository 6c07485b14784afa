"""Evaluation items among training rows: looked for before any compute is spent.

What blocks contaminates the experiment, what warns is recorded and the run goes on. Results are kept by the hashes of
file and items, the thresholds and the version of the methods, so that a second look at the same data costs nothing.
Invariant: a finding names file, line, item and method, never a sealed text.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import NamedTuple, NoReturn

from evo.config import RecipeConfig
from evo.data import seal as sealed
from evo.data.leaks.match import Checked, Match
from evo.data.mix import Resolved
from evo.data.reader import read_items
from evo.domain.experiment import DECLARED, Experiment
from evo.domain.finding import Finding
from evo.errors import Denied, EvoError, Refused
from evo.files import read_json, sha256_file, sha256_json, write_json
from evo.ops.checks import provenance
from evo.ops.runs.launch import resolve_data
from evo.session import Session
from evo.store import experiments, findings
from evo.validation import plain, restore
from evo.workspace.recipes import load_recipe
from evo.workspace.repository import ensure_worktree

SOURCE = "leaks"
MOST_FINDINGS = 20
"""Each is recorded with its line; of what is more, only the number."""
CHECKED = (*sealed.SEALED, "dev")
OnProgress = Callable[[int, int], None]


class Verdict(NamedTuple):
    """`condemns`: the sentence that contaminates, empty where nothing blocks."""

    found: list[Finding]
    condemns: str


def leaks_of(session: Session, experiment: Experiment, *, data_to: Path | None = None) -> str:
    """Why an experiment is contaminated: sealed items in its worktree, evaluation items in its data; empty: clean."""
    worktree = ensure_worktree(session.layout, experiment)
    opened: str = import_module("evo.ops.checks.opened").standing(session, experiment)
    if found := sealed_copies(session, worktree) or opened:
        return found
    if experiment.origin == DECLARED:
        return ""  # it has no data that evo knows of
    recipe = load_recipe(session.layout, worktree / "recipe").config
    if not recipe.data.train:
        return ""
    return refuse(session, experiment, recipe, resolve_data(session, recipe, to=data_to))


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
    try:
        found = check(session, path).matches
    except EvoError:
        return ""  # no rows, then; whoever uses the file will say what is wrong with it
    for match in found:
        if match.split in sealed.SEALED and match.severity == "block":
            return f"{name}, line {match.line}: holds {match.split} item {match.item} ({match.method})"
    return ""


def _is_own(original: Path, path: Path) -> bool:
    return original.is_file() and original.read_bytes() == path.read_bytes()


def check(
    session: Session, path: Path, *, keeps: bool = True, on_progress: OnProgress = lambda _done, _all: None
) -> Checked:
    """What a file (or the files of a folder) holds of sealed and dev items. `keeps`: the result may be written down.

    FileFormatError and NotFound name the file.
    """
    if path.is_dir():
        parts = [check(session, file, keeps=keeps, on_progress=on_progress) for file in provenance.files_of(path)]
        return Checked([match for part in parts for match in part.matches], sum(part.lines for part in parts))
    kept = session.layout.cache / "leaks" / f"{_key(session, path)}.json" if path.is_file() else None
    if kept is not None and kept.is_file():
        data = read_json(kept)
        return Checked([restore(Match, {**row, "file": str(path)}) for row in data["matches"]], data["lines"])
    found: Checked = import_module("evo.data.leaks.check").check_file(
        path, golds(session), session.config.leaks, on_progress=on_progress
    )
    if keeps and kept is not None:
        write_json(kept, plain(found))
    return found


def golds(session: Session) -> list[object]:
    """The items that no training row may hold. A canary is one of them: only who read the sealed file has it."""
    passages = import_module("evo.data.leaks.passages")
    root = session.layout.root
    found = []
    for split in CHECKED:
        items = sealed.load_split(root, split)
        record = sealed.read_manifest(root).splits.get(split)
        if record is not None and record.canary is not None:
            rows = read_items(root / record.file, needs_target=False)
            items += [item for item in rows if item.id == record.canary]
        found.append(passages.Gold(split, items))
    guards = import_module("evo.data.guards")
    for name, record in guards.records(root).items():  # the canary among them
        found.append(passages.Gold(f"guard {name}", read_items(root / record.heldout.file, needs_target=False)))
    return found


def _key(session: Session, path: Path) -> str:
    splits = sealed.read_manifest(session.layout.root).splits
    items = {str(split): splits[split].sha256 for split in CHECKED if split in splits}
    records = import_module("evo.data.guards").records(session.layout.root)
    items |= {f"guard {name}": record.heldout.sha256 for name, record in records.items()}
    version = import_module("evo.data.leaks.version").VERSION
    return sha256_json([sha256_file(path), path.suffix == ".jsonl", items, thresholds(session), version])


def thresholds(session: Session) -> dict[str, float]:
    set_to = session.config.leaks
    return {"block": set_to.block, "warn": set_to.warn, "similar": set_to.similar, "answer_chars": set_to.answer_chars}


def refuse(session: Session, experiment: Experiment, recipe: RecipeConfig, data: Resolved) -> str:
    """Why an experiment must not be trained on its data, as a sentence that contaminates; empty where it may.

    What was found is recorded. Refused where a source was retracted.
    """
    if gone := provenance.retracted_source(session, recipe, data):
        raise Refused(f"{experiment.id} trains on retracted data: {gone}", hint="name other data, or a mended file")
    verdict = look(session, recipe, data)
    findings.replace(session.db, SOURCE, verdict.found, experiment=experiment.id)
    return verdict.condemns


def refuse_leaks(session: Session, experiment: Experiment, recipe: RecipeConfig, data: Resolved) -> None:
    """Sealed or dev items in the training data: contaminated, before any compute and without an attempt."""
    if found := refuse(session, experiment, recipe, data):
        condemn(session, experiment, found)


def condemn(session: Session, experiment: Experiment, found: str) -> NoReturn:
    experiments.move(session.db, experiment.id, "contaminated", reason=found, class_="data")
    raise Denied(
        f"{experiment.id} is contaminated: {found}", hint="take those lines out of the data, then branch again"
    )


def look(session: Session, recipe: RecipeConfig, data: Resolved) -> Verdict:
    """What the data of a recipe holds, by the lines of its sources."""
    mixed = check(session, data.path).matches
    if not mixed:
        return Verdict([], "")
    ends = list(itertools.accumulate(part.drawn for part in data.parts))
    named: list[Match] = []
    for number, part in enumerate(recipe.data.train):
        first = ends[number] - data.parts[number].drawn
        here = [match for match in mixed if first < match.line <= ends[number]]
        if here:
            named += _in_source(session, recipe, part.source, here)
    return judge(session, named, exposed=provenance.exposed_files(session, recipe))


def _in_source(session: Session, recipe: RecipeConfig, source: str, here: list[Match]) -> list[Match]:
    """These matches by the lines of the source that the rows were drawn from, where it is a file."""
    path = provenance.file_of(session, recipe, source)
    if path is None:
        return here
    wanted = {(match.split, match.item) for match in here}
    found = [match for match in check(session, path).matches if (match.split, match.item) in wanted]
    return [*_renamed(session, found)] or here  # renamed fields may hide what the mix shows


def _renamed(session: Session, matches: list[Match]) -> Iterator[Match]:
    root = session.layout.root
    for match in matches:
        path = Path(match.file)
        name = str(path.relative_to(root)) if path.is_relative_to(root) else match.file
        yield Match(name, match.line, match.item, match.split, match.method, match.part, match.score, match.severity)


def judge(session: Session, matches: list[Match], *, exposed: frozenset[str] = frozenset()) -> Verdict:
    """Matches as findings. Items in `leaks.allow` only warn; dev items in files made from dev failures are noted."""
    blocking = [match for match in matches if match.severity == "block" and not _is_exposed(match, exposed)]
    allowed = _allowed(session.config.leaks.allow, blocking)
    guilty = [match for match in blocking if match.item not in allowed]
    gravest = sorted(matches, key=lambda match: (match not in guilty, match.severity))[:MOST_FINDINGS]
    found = [_finding(session, match, exposed=exposed, allowed=allowed) for match in gravest]
    if len(matches) > MOST_FINDINGS:
        found.append(Finding(SOURCE, "more", "note", f"{len(matches)} lines hold evaluation items in all"))
    if not guilty:
        return Verdict(found, "")
    first = guilty[0]
    what = f"{first.file}, line {first.line}: holds {first.split} item {first.item} ({first.part}, {first.method})"
    return Verdict(found, f"{what}; {len(guilty)} in all")


def _is_exposed(match: Match, exposed: frozenset[str]) -> bool:
    return match.split == "dev" and match.file in exposed


def _allowed(allow: list[str] | int, blocking: list[Match]) -> frozenset[str]:
    items = frozenset(match.item for match in blocking)
    if isinstance(allow, int):
        return items if len(items) <= allow else frozenset()
    return items & set(allow)


def _finding(session: Session, match: Match, *, exposed: frozenset[str], allowed: frozenset[str]) -> Finding:
    where = f"{match.file}, line {match.line}: holds {match.split} item {match.item}"
    how = f"({match.part}, {match.method}, {match.score:g})"
    facts = {**plain(match), "thresholds": thresholds(session)}
    step = f"evo data check {match.file}"
    if _is_exposed(match, exposed):
        return Finding(SOURCE, "dev-exposed", "note", f"{where} {how}: made from dev failures", facts, step)
    if match.severity == "block" and match.item in allowed:
        facts["allow"] = session.config.leaks.allow
        return Finding(SOURCE, "allowed", "warn", f"{where} {how}: allowed by leaks.allow", facts, step)
    return Finding(SOURCE, match.method, match.severity, f"{where} {how}", facts, step)
