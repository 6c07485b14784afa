"""The seal: held-out and vault items behind a closed folder, and a manifest of what every split holds.

    .evo/sealed/  0700   heldout.jsonl, vault.jsonl, manifest.json   0600
    data/                dev.jsonl, mid.jsonl

Rows are kept as they were read, with an `id`. Each sealed file holds one canary: a row that no score counts, whose text
exists nowhere else, so that a text or a model that knows it has seen the file.
Invariant: the manifest is written last, so that its presence means a whole seal; `load_split` gives exactly the items
that were sealed, or refuses.
"""

from __future__ import annotations

import random
import stat
from collections.abc import Collection, Iterable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from evo.data.leaks.match import Match
from evo.data.reader import Row, read_items, read_rows
from evo.data.split import Splits
from evo.domain.item import Item, Split
from evo.errors import FileFormatError, NotFound, Refused, StoreError
from evo.files import read_json, sha256_file, sha256_json, write_json, write_jsonl
from evo.lightdata import dataclass
from evo.validation import plain, restore

SCHEMA = "evo-seal/1"
SEALED: tuple[Split, ...] = ("heldout", "vault")
MID_SHARE = 0.25
"""No more of a train file, or of dev, than this is held back as the mid slice."""
_FOLDER, _FILE = 0o700, 0o600


@dataclass(frozen=True)
class SplitRecord:
    """`n` counts items, the canary apart; `file` is relative to the workspace."""

    file: str
    n: int
    sha256: str
    canary: str | None = None


@dataclass(frozen=True)
class Manifest:
    """`heldout_hash` covers questions and answers only: looks at held-out items are counted under it."""

    splits: dict[str, SplitRecord]
    heldout_hash: str
    seed: int
    source_sha256: str | None = None
    mid_from: str = ""
    schema: str = SCHEMA


def split_path(root: Path, split: Split) -> Path:
    return (root / ".evo" / "sealed" if split in SEALED else root / "data") / f"{split}.jsonl"


def choose_mid(train: Sequence[Item], dev: Sequence[Item], *, size: int, seed: int) -> tuple[str, tuple[Item, ...]]:
    """Where the mid slice comes from (`train`, `dev` or nothing) and its items, at most `size`.

    From the train items that have targets, which are then held back from training; else from dev, which then goes
    without them: a score that had a part in choosing the checkpoint would be too good. At most MID_SHARE of either.
    """
    for name, items in (("train", [item for item in train if item.target is not None]), ("dev", dev)):
        count = min(size, int(len(items) * MID_SHARE))
        if count:
            stable = sorted(items, key=lambda item: item.id)
            return name, tuple(random.Random(seed).sample(stable, count))
    return "", ()


def seal(
    root: Path,
    splits: Splits,
    *,
    mid: tuple[str, tuple[Item, ...]],
    seed: int,
    source: Path | None,
    tracked: Collection[str],
) -> Manifest:
    """Write the splits, their canaries and the manifest. `tracked`: the paths that git tracks, relative to `root`.

    Refused when there is a seal, when git tracks a file that holds sealed items, or when a split file of other
    content is in the way; nothing is written then.
    """
    if manifest_path(root).exists() and read_manifest(root).splits:
        raise Refused(f"{root} has a seal", hint="sealed items stay; `evo data status` shows what there is")
    found = tracked_overlap(root, tracked, (*splits.heldout, *splits.vault))
    if found:
        where = f"{found[0].file}, line {found[0].line}" + (f" and {len(found) - 1} more" if len(found) > 1 else "")
        hint = "git rm --cached the gold file, and take gold questions out of training data; then seal again"
        raise Refused(f"git tracks sealed items: {where}", hint=hint)
    contents: dict[Split, tuple[Item, ...]] = {"dev": splits.dev, "mid": mid[1]}
    contents |= {"heldout": splits.heldout, "vault": splits.vault}
    for split in ("dev", "mid"):
        _refuse_other(split_path(root, split), contents[split])
    sealed = split_path(root, "heldout").parent
    sealed.mkdir(parents=True, exist_ok=True)
    sealed.chmod(_FOLDER)
    records: dict[str, SplitRecord] = {}
    for split, items in contents.items():
        if items:
            records[split] = write_part(root, split_path(root, split), items, is_sealed=split in SEALED)
    digest = sha256_file(source) if source else None
    manifest = Manifest(records, items_hash(splits.heldout), seed, digest, mid[0])
    write_json(manifest_path(root), plain(manifest), mode=_FILE)
    return manifest


def seal_nothing(root: Path) -> Manifest:
    """The manifest of a workspace that has no items; items may be sealed in it later."""
    manifest = Manifest({}, "", 0)
    write_json(manifest_path(root), plain(manifest), mode=_FILE)
    return manifest


def manifest_path(root: Path) -> Path:
    return root / ".evo" / "sealed" / "manifest.json"


def read_manifest(root: Path) -> Manifest:
    """NotFound when nothing is sealed, FileFormatError when the file is no manifest of this version."""
    path = manifest_path(root)
    if not path.exists():
        raise NotFound(f"{root} has no sealed items", hint="evo data seal --gold FILE makes the splits")
    data = read_json(path)
    if not isinstance(data, Mapping) or data.get("schema") != SCHEMA:
        raise FileFormatError(path, f"is no {SCHEMA} document")
    return restore(Manifest, data)


def load_split(root: Path, split: Split) -> list[Item]:
    """The items of a split, without the canary; empty for a split that was not made.

    StoreError when the file is not the one that was sealed.
    """
    record = read_manifest(root).splits.get(split)
    if record is None:
        return []
    return load_part(root, split, record)


def load_part(root: Path, name: str, record: SplitRecord) -> list[Item]:
    """The items of one sealed or split file, as `load_split`."""
    if problem := problem_of(root, name, record):
        raise StoreError(problem, hint="bring the file back from a backup; changed items would be another evaluation")
    return [item for item in read_items(root / record.file, needs_target=False) if item.id != record.canary]


def verify_manifest(root: Path) -> list[str]:
    """What is wrong with the seal, one sentence each; empty when all is as it was sealed. Quotes no item."""
    manifest = read_manifest(root)
    problems = [problem_of(root, split, record) for split, record in manifest.splits.items()]
    sealed = manifest_path(root).parent
    for path in (sealed, *sorted(sealed.iterdir())):
        found, mode = stat.S_IMODE(path.stat().st_mode), _FOLDER if path.is_dir() else _FILE
        if found & ~mode:
            problems.append(f"{path} is open to others: mode {found:04o}, not {mode:04o}")
    return [problem for problem in problems if problem]


def items_hash(items: Iterable[Item]) -> str:
    """Hash of what is asked and expected, whatever the order, the ids and the slices."""
    return sha256_json(sorted(sha256_json([item.messages, item.target]) for item in items))


def tracked_overlap(root: Path, tracked: Collection[str], sealed: Sequence[Item]) -> list[Match]:
    """Lines of tracked JSONL files, and tracked files of the sealed folder, that hold sealed items."""
    found: list[Match] = []
    check = import_module("evo.data.leaks.check")  # 20 ms, which no command pays that seals nothing
    for name in sorted(tracked):
        path = root / name
        if name.startswith(".evo/sealed/"):
            found.append(Match(name, 1, "", "", "path", "question", 1.0, "block"))
        elif name.endswith(".jsonl") and path.is_file():
            found.extend(check.find_copies(_readable(path), sealed, file=name))
    return found


def _readable(path: Path) -> list[Row]:
    try:
        return read_rows(path)
    except FileFormatError:
        return []  # whoever uses the file will say what is wrong with it


def _refuse_other(path: Path, items: Sequence[Item]) -> None:
    if path.exists() and {item.id for item in read_items(path, needs_target=False)} != {item.id for item in items}:
        raise Refused(f"{path} holds other items", hint="move it away, or pass it with --dev")


def write_part(root: Path, path: Path, items: Sequence[Item], *, is_sealed: bool) -> SplitRecord:
    """Items at `path`; a sealed file is for the owner alone and holds a canary."""
    rows: list[dict[str, Any]] = [{**item.row, "id": item.id} for item in items]
    canary = None
    if is_sealed:
        row = _canary()
        canary = row["id"]
        rows.insert(_CHANCE.randrange(len(rows) + 1), row)
    write_jsonl(path, rows, mode=_FILE if is_sealed else 0o644)
    return SplitRecord(str(path.relative_to(root)), len(items), sha256_file(path), canary)


_CHANCE = random.SystemRandom()
"""Nobody can foretell it; the module `secrets` takes 2 ms to import."""


def _canary() -> dict[str, Any]:
    question, answer = _CHANCE.randbytes(16).hex(), _CHANCE.randbytes(16).hex()
    return {
        "id": f"canary-{_CHANCE.randbytes(8).hex()}",
        "messages": [
            {"role": "user", "content": f"evo canary {question}: sealed evaluation data, not for training."},
            {"role": "assistant", "content": answer},
        ],
    }


def problem_of(root: Path, split: str, record: SplitRecord) -> str:
    """What is wrong with one file of a seal; empty where it is as it was sealed."""
    path = root / record.file
    if not path.is_file():
        return f"{split}: {path} is gone"
    return "" if sha256_file(path) == record.sha256 else f"{split}: {path} is not the file that was sealed"
