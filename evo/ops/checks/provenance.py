"""Where training data comes from: which files a mix was made of, what they were made from, and what was taken back.

Invariant: every file that an experiment trained on has a row under the hash of its content, and the mix names them as
its parents; what was made from dev failures, or from a file that was, is labelled so.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from evo.config import RecipeConfig
from evo.data.mix import Part, Resolved
from evo.errors import FileFormatError, NotFound
from evo.files import sha256_file, sha256_json
from evo.session import Session
from evo.store import artifacts, datasets
from evo.store.datasets import Dataset

SOURCE = "provenance"
_TEXTS = (".jsonl", ".txt", ".md")


def files_of(folder: Path) -> list[Path]:
    """The files of a folder that can be trained on. FileFormatError where there are none."""
    inside = [file for file in sorted(folder.rglob("*")) if file.resolve().is_relative_to(folder.resolve())]
    files = [file for file in inside if file.suffix in _TEXTS and file.is_file() and file.stat().st_size]
    if not files:
        raise FileFormatError(folder, "holds no .txt, .md or .jsonl file", hint="put documents there")
    return files


def file_of(session: Session, recipe: RecipeConfig, source: str) -> Path | None:
    """The file or folder that a source of a recipe is; None for one on the hub."""
    if source.startswith("hf://"):
        return None
    if source.startswith("artifact:"):
        return artifact_files(session, recipe).get(source.removeprefix("artifact:"))
    path = session.layout.root / source
    return path if path.exists() else None


def artifact_files(session: Session, recipe: RecipeConfig) -> dict[str, Path]:
    """The files that `artifact:EXP:label` sources of a recipe mean."""
    names = [part.source.removeprefix("artifact:") for part in recipe.data.train if part.source.startswith("artifact:")]
    pairs = [(name, *name.partition(":")[::2]) for name in names]
    return {name: Path(artifacts.find(session.db, exp, label=label).uri) for name, exp, label in pairs}


def identity(path: Path | None, source: str) -> str:
    """The hash that stands for a source: of a file's content, of all files of a folder, of a hub source's name."""
    if path is None:
        return sha256_json(["source", source])
    if path.is_dir():
        return sha256_json([[str(file.relative_to(path)), sha256_file(file)] for file in files_of(path)])
    return sha256_file(path)


def sources(session: Session, recipe: RecipeConfig, data: Resolved) -> Iterator[tuple[Part, Path | None, str]]:
    """(part of the mix, its file, its hash) of each source."""
    for part in data.parts:
        path = file_of(session, recipe, part.source)
        yield part, path, identity(path, part.source)


def note(session: Session, experiment: str, recipe: RecipeConfig, data: Resolved) -> None:
    """Rows for what a run trains on and what that was mixed from, linked to the experiment."""
    used = [("train", data.sha256)]
    for part, path, sha256 in sources(session, recipe, data):
        name = shown(session, path) if path is not None else part.source
        datasets.register(session.db, Dataset(sha256, name, part.rows + part.excluded, part.source))
        used.append(("source", sha256))
    parents = tuple(sha256 for _, sha256 in used[1:])
    mixed = ", ".join(f"{part.source} ({part.drawn})" for part in data.parts)
    if data.sha256 not in parents:  # one source, taken as it is
        datasets.register(session.db, Dataset(data.sha256, str(data.path), data.lines, mixed, "mix", parents))
    datasets.link(session.db, experiment, used=used)


def retracted_source(session: Session, recipe: RecipeConfig, data: Resolved) -> str:
    """The first source that was taken back, with the reason; empty where all stand."""
    if not datasets.has_retracted(session.db):
        return ""
    for part, _, sha256 in sources(session, recipe, data):
        known = datasets.known(session.db, sha256)
        if known is not None and known.retracted is not None:
            return f"{part.source} ({known.retracted or 'no reason given'})"
    return ""


def exposed_files(session: Session, recipe: RecipeConfig) -> frozenset[str]:
    """Sources, as findings name them, that are labelled as made from dev failures."""
    found = set()
    for spec in recipe.data.train:
        path = file_of(session, recipe, spec.source)
        known = datasets.known(session.db, identity(path, spec.source))
        if path is not None and known is not None and known.derived == "dev":
            found |= {shown(session, file) for file in (files_of(path) if path.is_dir() else [path])}
    return frozenset(found)


def shown(session: Session, path: Path) -> str:
    """A path as views name it: from the root of the workspace where it lies in it."""
    root = session.layout.root
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def find(session: Session, name: str) -> Dataset:
    """The dataset of that path, hash, or beginning of a hash. NotFound, UsageError where several begin so."""
    path = Path(name)
    if path.exists():
        known = datasets.known(session.db, identity(path, name))
        if known is not None:
            return known
        raise NotFound(f"{name} is not registered as it is now", hint=f"evo data register {name}, or name a hash")
    return datasets.find(session.db, name)
