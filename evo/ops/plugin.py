"""`evo plugin install`: the shipped plugin as a folder that a client adds as a marketplace.

The folder holds `.claude-plugin/marketplace.json`, `.agents/plugins/marketplace.json`, `plugins/evo/` and
`.evo-plugin.json`: the version, and the sha256 of every file as evo wrote it.
Invariant: a file that somebody has edited since, or that was there before, is left alone and named.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from evo import assets
from evo.domain.plugin_views import PluginView
from evo.errors import FileFormatError, NotFound, RunFailed
from evo.files import read_json, sha256_file, write_json, write_text

MANIFEST = ".evo-plugin.json"
SHIPPED = (".claude-plugin", ".agents", "plugins")
CLIENT_TIMEOUT_S = 60
ADDS = {"claude": ("install", "uninstall"), "codex": ("add", "remove")}
OWED = {
    "codex": "codex runs no hook of a plugin before you have trusted it: say /hooks in codex, now and whenever they"
    " change; until then nothing keeps an agent from sealed files"
}
"""What no command of a client does, and its user has to."""


class Change(NamedTuple):
    """What is to happen to files of `folder`, by their names relative to it."""

    write: dict[str, Path]
    same: list[str]
    kept: list[str]
    remove: list[str]


def default_folder() -> Path:
    data = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(data).expanduser() / "evo" / "plugin"


def install(client: str, folder: Path, *, dry_run: bool = False) -> PluginView:
    """Write or renew the plugin in `folder`, and have `client` (claude, codex, or empty) add it.

    RunFailed: the client is here and did not take it. Where it is not here, its commands are in `steps`.
    """
    change = plan(folder)
    if not dry_run:
        apply(folder, change)
    steps = call(client, steps_of(client, folder), dry_run=dry_run)
    return PluginView(
        client or "plugin", str(folder), list(change.write), change.kept, change.remove, len(change.same), steps
    )


def uninstall(client: str, folder: Path, *, dry_run: bool = False) -> PluginView:
    """Take away what was installed and nobody has edited, and have `client` forget it; what it does not know any more
    stops nothing, and is said in `steps`. NotFound: nothing was installed there."""
    known = read_manifest(folder)
    if not known:
        raise NotFound(f"no plugin of evo is installed in {folder}")
    there = {name: digest for name, digest in known.items() if (folder / name).is_file()}
    gone = [name for name, digest in there.items() if sha256_file(folder / name) == digest]
    kept = [name for name in there if name not in gone]
    steps = call(client, steps_of(client, folder, remove=True), dry_run=dry_run, insists=False)
    if not dry_run:
        _remove(folder, gone)
        (folder / MANIFEST).unlink()
        if not any(folder.iterdir()):
            folder.rmdir()
    return PluginView(client or "plugin", str(folder), [], kept, gone, 0, steps)


def plan(folder: Path) -> Change:
    known, shipped = read_manifest(folder), dict(shipped_files())
    change = Change({}, [], [], [])
    for name, source in shipped.items():
        target = folder / name
        now = sha256_file(target) if target.is_file() else None
        if now == sha256_file(source):
            change.same.append(name)
        elif now is None or now == known.get(name):
            change.write[name] = source
        else:
            change.kept.append(name)
    for name in known.keys() - shipped.keys():
        if (folder / name).is_file():
            (change.remove if sha256_file(folder / name) == known[name] else change.kept).append(name)
    return change


def apply(folder: Path, change: Change) -> None:
    known = read_manifest(folder)
    for name, source in change.write.items():
        mode = 0o755 if os.access(source, os.X_OK) else 0o644
        write_text(folder / name, source.read_text(encoding="utf-8"), mode=mode)
    _remove(folder, change.remove)
    ours = {name: sha256_file(folder / name) for name in (*change.write, *change.same)}
    kept = {name: known[name] for name in change.kept if name in known}
    write_json(folder / MANIFEST, {"version": version("evo-tree"), "files": ours | kept})


def shipped_files() -> Iterator[tuple[str, Path]]:
    """Name below the folder, and the file; caches and editors' leftovers are not shipped."""
    for top in SHIPPED:
        base = assets.folder(top)
        for path in sorted(base.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts and path.name != ".gitkeep":
                yield f"{top}/{path.relative_to(base)}", path


def read_manifest(folder: Path) -> dict[str, str]:
    """Name -> sha256 as evo wrote it; empty where nothing is installed."""
    path = folder / MANIFEST
    if not path.exists():
        return {}
    data = read_json(path)
    files = data.get("files") if isinstance(data, dict) else None
    if not isinstance(files, dict) or any(Path(name).is_absolute() or ".." in Path(name).parts for name in files):
        raise FileFormatError(path, "is no list of installed files", hint="move the folder away and install again")
    return files


def steps_of(client: str, folder: Path, *, remove: bool = False) -> list[list[str]]:
    """The commands by which a client takes the plugin on, or gives it up."""
    if not client:
        return []
    add, drop = ADDS[client]
    if remove:
        return [[client, "plugin", drop, "evo@evo"], [client, "plugin", "marketplace", "remove", "evo"]]
    return [[client, "plugin", "marketplace", "add", str(folder)], [client, "plugin", add, "evo@evo"]]


def call(client: str, steps: list[list[str]], *, dry_run: bool, insists: bool = True) -> list[str]:
    """Run the client's commands, if it is here; what was done, or what is left to do. A step that fails is RunFailed
    where the caller `insists`, else it is told."""
    if dry_run or not client or shutil.which(client) is None:
        return [f"{'would do' if dry_run else 'to do, once it is here'}: {shlex.join(words)}" for words in steps]
    told = []
    for words in steps:
        step = shlex.join(words)
        if problem := failure_of(words):
            if insists:
                raise RunFailed(f"{step}: {problem}", hint="run it yourself")
            told.append(f"not done: {step}: {problem}")
        else:
            told.append(f"done: {step}")
    return told


def failure_of(words: list[str]) -> str:
    """Why a client's command failed, in its own words; empty where it did not."""
    try:
        ran = subprocess.run(
            words, capture_output=True, text=True, timeout=CLIENT_TIMEOUT_S, check=False, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        return f"no answer in {CLIENT_TIMEOUT_S} s"
    if ran.returncode == 0:
        return ""
    said = (ran.stderr or ran.stdout).strip().splitlines() or [f"exit {ran.returncode}"]
    named = (line for line in said if line.lower().startswith("error"))  # a backtrace may follow it
    return next(named, said[-1])


def _remove(folder: Path, names: list[str]) -> None:
    """Remove files, and the folders that this leaves empty."""
    for name in names:
        path = folder / name
        path.unlink(missing_ok=True)
        for above in path.parents:
            if above == folder or any(above.iterdir()):
                break
            above.rmdir()
