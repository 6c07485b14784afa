"""Guards' items: split and sealed as the gold is, each guard in files of its own.

    .evo/sealed/  guard-NAME-heldout.jsonl, guards.json   0600
    data/         guard-NAME.jsonl                        the guard's dev part

Invariant: the items of a guard stay as they were sealed, so its results stay comparable; other items are another guard,
under another name. A canary lies in each sealed file. `guards.json` is written after the files that it names.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from evo import assets
from evo.data import seal
from evo.data.reader import read_items
from evo.data.seal import SplitRecord
from evo.data.split import split_gold
from evo.domain.item import Item
from evo.errors import FileFormatError, NotFound, Refused, StoreError, nearest
from evo.files import read_json, sha256_file, write_json
from evo.lightdata import dataclass
from evo.validation import plain, restore

SCHEMA = "evo-guards/1"
SHARES = (40.0, 60.0, 0.0)
"""dev and held-out: the bound that decides is made of held-out items, and dev only shows."""
SUITES = "guards"


@dataclass(frozen=True)
class GuardRecord:
    """`source_sha256`: of the file that the items came from."""

    source_sha256: str
    dev: SplitRecord
    heldout: SplitRecord
    schema: str = SCHEMA


def shipped() -> list[str]:
    """Names of the suites that come with evo."""
    folder = assets.folder("workspace_template") / SUITES
    return sorted(path.stem for path in folder.glob("*.jsonl"))


def source_of(root: Path, items: str) -> Path:
    """The file that `items` of a guard means. NotFound names the nearest suite."""
    if items in shipped():
        return assets.folder("workspace_template") / SUITES / f"{items}.jsonl"
    for path in (root / items, Path(items).expanduser()):
        if path.is_file():
            return path.resolve()
    hint = "" if "." in items or os.sep in items else nearest(items, shipped())
    raise NotFound(f"guards: {items} is no file and no suite of evo", hint=hint or f"suites: {', '.join(shipped())}")


def records(root: Path) -> dict[str, GuardRecord]:
    """Guard -> what was sealed of it; empty where there is none."""
    path = _manifest(root)
    if not path.exists():
        return {}
    data = read_json(path)
    if not isinstance(data, Mapping):
        raise FileFormatError(path, f"is no {SCHEMA} document")
    return {name: restore(GuardRecord, record) for name, record in data.items()}


def seal_guard(root: Path, name: str, items: str, *, seed: int, tracked: Sequence[str]) -> GuardRecord:
    """The record of a guard, its items split and sealed if they were not yet.

    Refused: the file has changed since, git tracks it, or it holds too few items. NotFound: there is no such file.
    """
    known = records(root)
    found = known.get(name)
    try:
        source = source_of(root, items)
    except NotFound:
        if found is not None:
            return found  # moved off the machine, as it should be
        raise
    digest = sha256_file(source)
    if found is not None:
        if found.source_sha256 != digest:
            what = f"guards: {items} is not the file that guard {name} was sealed from"
            raise Refused(what, hint="sealed items stay as they are; give the new items another name")
        return found
    if source.is_relative_to(root) and str(source.relative_to(root)) in tracked:
        where = source.relative_to(root)
        hint = f"git rm --cached {where}, commit, and keep it outside the repository"
        raise Refused(f"git tracks {where}: every worktree would hold the held-out items of guard {name}", hint=hint)
    splits = split_gold(read_items(source, needs_target=False), shares=SHARES, seed=seed)
    record = GuardRecord(
        digest,
        seal.write_part(root, root / "data" / f"guard-{name}.jsonl", splits.dev, is_sealed=False),
        seal.write_part(root, sealed_folder(root) / f"guard-{name}-heldout.jsonl", splits.heldout, is_sealed=True),
    )
    write_json(_manifest(root), {key: plain(each) for key, each in (known | {name: record}).items()}, mode=0o600)
    return record


def load(root: Path, name: str, *, is_sealed: bool) -> list[Item]:
    """Dev or held-out items of a guard, without the canary. StoreError when they are not what was sealed."""
    record = records(root).get(name)
    if record is None:
        raise StoreError(f"guard {name} has no sealed items", hint="evo run exp_0000 seals them")
    return seal.load_part(root, f"guard {name}", record.heldout if is_sealed else record.dev)


def verify(root: Path, *, expected: Iterable[str] = ()) -> dict[str, list[str]]:
    """Guard -> what is wrong with its items, one sentence each, nothing where all is as it was sealed. Quotes no item.

    `expected`: guards that were sealed, as others remember; one that `guards.json` does not name has lost its record.
    """
    known = records(root)
    found = {
        name: [
            problem
            for part in (record.dev, record.heldout)
            if (problem := seal.problem_of(root, f"guard {name}", part))
        ]
        for name, record in known.items()
    }
    place = _manifest(root)
    lost = f"{place} is gone" if not place.exists() else f"{place} does not name it"
    return found | {name: [f"guard {name}: {lost}"] for name in expected if name not in known}


def sealed_items(root: Path) -> dict[str, list[Item]]:
    """Everything that must not be trained on: `heldout`, `vault`, and `guard NAME` for the held-out part of each."""
    found = {str(split): seal.load_split(root, split) for split in seal.SEALED}
    return found | {f"guard {name}": load(root, name, is_sealed=True) for name in records(root)}


def canaries(root: Path) -> dict[str, Path]:
    """Sealed file -> its path, for those that hold a canary."""
    manifest = seal.read_manifest(root)
    named = {split: root / record.file for split, record in manifest.splits.items() if record.canary}
    return named | {f"guard {name}": root / record.heldout.file for name, record in records(root).items()}


def sealed_folder(root: Path) -> Path:
    return root / ".evo" / "sealed"


def _manifest(root: Path) -> Path:
    return sealed_folder(root) / "guards.json"
