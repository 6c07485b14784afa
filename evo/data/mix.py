"""A recipe's data sources, resolved into one file that is named by its content.

Invariant: the same sources, exclusions and seed give the same bytes, so the file's hash can stand for the data. Every
line of it can be trained on, none asks what the mid slice asks, and none comes from outside the workspace unless a
path from the root of the file system says so.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from evo.config import DataSpec, SourceSpec
from evo.data.leaks.texts import question_key
from evo.data.reader import Row, read_source
from evo.domain.item import Item, ItemError, parse_item
from evo.errors import FileFormatError, MissingExtra, NotFound, Refused, nearest
from evo.files import sha256_file, write_text
from evo.lightdata import dataclass, field

_HUB = re.compile(r"hf://(?P<id>[\w.-]+(?:/[\w.-]+)?)@(?P<revision>[\w./-]+):(?P<split>[\w\[\]:%+-]+)")


@dataclass(frozen=True)
class Place:
    """`base`: relative paths count from it and stay in it. `file`: the recipe, for messages."""

    base: Path
    cache_dir: Path
    file: str = "recipe.yaml"
    artifacts: Mapping[str, Path] = field(default_factory=dict)
    """What follows `artifact:` in a source (`exp_0003:label`) -> the file it means."""


@dataclass(frozen=True)
class Part:
    """`rows` usable rows in the source, `excluded` of the mid slice, `drawn` lines in the mix."""

    source: str
    rows: int
    excluded: int
    drawn: int


@dataclass(frozen=True)
class Resolved:
    path: Path
    sha256: str
    lines: int
    parts: tuple[Part, ...]


def resolve(spec: DataSpec, place: Place, *, exclude: Iterable[Item] = (), seed: int) -> Resolved:
    """Read, map, check and draw every source; write `cache_dir/<sha256>.jsonl`.

    `exclude`: items (the mid slice) whose questions are left out. `seed` chooses rows where `n` or `weight` ask for
    some of them; it is the workspace's, not the run's, so that seeds of one experiment train on the same data.
    FileFormatError and NotFound name the recipe's field, or file and line of the source.
    """
    hidden = {question_key(item.row) for item in exclude}
    parts, lines = [], []
    for index, source in enumerate(spec.train):
        where = f"data.train[{index}]"
        rows = [_trainable(row, _mapped(row, source), source.source) for row in _read(source, place, where)]
        usable = [row for row in rows if question_key(row) not in hidden]
        drawn = _drawn(usable, source, place=place, where=where, draw=random.Random(f"{seed}/{index}"))
        lines += [json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in drawn]
        parts.append(Part(source.source, len(usable), len(rows) - len(usable), len(drawn)))
    if not lines:
        raise FileFormatError(place.file, "leaves nothing to train on", field="data.train")
    content = "".join(lines)
    import hashlib  # OpenSSL: 2 ms to load, six times as fast on much text

    digest = hashlib.sha256(content.encode()).hexdigest()
    path = place.cache_dir / f"{digest}.jsonl"
    if not path.is_file() or sha256_file(path) != digest:
        write_text(path, content)
    return Resolved(path, digest, len(lines), tuple(parts))


def source_path(source: str, place: Place, *, where: str) -> Path:
    """The file or folder that a path or artifact source means. FileFormatError or Refused when it may not be read."""
    if source.startswith("artifact:"):
        label = source.removeprefix("artifact:")
        if label not in place.artifacts:
            raise NotFound(
                f"{place.file}, field {where}.source: no artifact {label!r}", hint=nearest(label, place.artifacts)
            )
        return place.artifacts[label]
    path = (place.base / source).resolve()
    if "/.evo/sealed/" in path.as_posix():
        raise Refused(
            f"{place.file}, field {where}.source: {source} is sealed", hint="sealed items are never trained on"
        )
    if not Path(source).is_absolute() and not path.is_relative_to(place.base.resolve()):
        hint = "copy it into the workspace, or write its whole path"
        raise FileFormatError(place.file, f"{source} lies outside the workspace", field=f"{where}.source", hint=hint)
    if not path.exists():
        raise NotFound(f"{place.file}, field {where}.source: {path} does not exist")
    return path


def _read(source: SourceSpec, place: Place, where: str) -> Sequence[Row]:
    if source.source.startswith("hf://"):
        return _hub_rows(source.source, file=place.file, where=f"{where}.source")
    return read_source(source_path(source.source, place, where=where))


def _hub_rows(source: str, *, file: str, where: str) -> list[Row]:
    match = _HUB.fullmatch(source)
    if match is None:
        raise FileFormatError(
            file, f"{source} names no revision and split", field=where, hint="write hf://id@revision:split"
        )
    try:
        import datasets
    except ImportError:
        raise MissingExtra("datasets, which reads hf:// sources,", "train") from None
    try:
        found = datasets.load_dataset(match["id"], revision=match["revision"], split=match["split"])
    except (OSError, ValueError) as error:
        hint = "check id, revision and split; without a network, export it to JSONL and name that file"
        raise NotFound(f"{file}, field {where}: {source} cannot be loaded: {error}", hint=hint) from error
    return [Row(line, dict(row)) for line, row in enumerate(found, start=1)]


def _mapped(row: Row, source: SourceSpec) -> dict[str, Any]:
    """The row with `map` applied: new key -> old key."""
    kept = {key: value for key, value in row.data.items() if key not in source.map.values()}
    for new, old in source.map.items():
        if old not in row.data:
            raise FileFormatError(
                row.file or source.source, "is missing", line=row.line, field=old, hint=nearest(old, row.data)
            )
        kept[new] = row.data[old]
    return kept


def _trainable(row: Row, data: dict[str, Any], source: str) -> dict[str, Any]:
    """`data`, when a page can learn from it: a question with its answer, or with two of them; or a text."""
    try:
        if "text" in data and not data.keys() & {"messages", "prompt"}:
            _needs_text(data, "text")
        elif "chosen" in data or "rejected" in data:
            _needs_pair(data)
        else:
            parse_item({**data, "target": data["completion"]} if "completion" in data else data)
    except ItemError as error:
        hint = (
            'write {"messages": […]}, {"prompt", "target"}, {"prompt", "completion"}, {"prompt", "chosen", "rejected"}'
            ' or {"text"}; `map` renames other keys'
        )
        raise FileFormatError(row.file or source, str(error), line=row.line, field=error.field, hint=hint) from None
    return data


def _needs_text(data: Mapping[str, Any], key: str) -> None:
    if not isinstance(data.get(key), str):
        raise ItemError(key, "is missing" if key not in data else f"must be a string, not {type(data[key]).__name__}")
    if not data[key].strip():
        raise ItemError(key, "is empty")


def _needs_pair(data: Mapping[str, Any]) -> None:
    """A question without its answer, and two answers to it."""
    for key in ("chosen", "rejected"):
        _needs_text(data, key)
    if parse_item({key: data[key] for key in ("messages", "prompt") if key in data}, needs_target=False).target:
        raise ItemError("messages", "must end with the user's: the answers are `chosen` and `rejected`")
    if data["chosen"] == data["rejected"]:
        raise ItemError("rejected", "is the same as `chosen`")


def _drawn(
    rows: list[dict[str, Any]], source: SourceSpec, *, place: Place, where: str, draw: random.Random
) -> list[dict[str, Any]]:
    """`n` of the rows (all when null), each `weight` times: whole copies, and a drawn part for the rest."""
    if source.n is not None and source.n > len(rows):
        raise FileFormatError(place.file, f"asks for {source.n} rows of {len(rows)}", field=f"{where}.n")
    chosen = rows if source.n is None else _some(rows, source.n, draw)
    copies, part = divmod(source.weight, 1.0)
    return chosen * int(copies) + _some(chosen, round(len(chosen) * part), draw)


def _some(rows: list[dict[str, Any]], count: int, draw: random.Random) -> list[dict[str, Any]]:
    """`count` different rows, in the order they stand."""
    return [rows[index] for index in sorted(draw.sample(range(len(rows)), count))]
