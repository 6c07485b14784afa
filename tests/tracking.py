"""Reading trackers back with their own readers."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any


def offline_runs(folder: Path) -> dict[str, Path]:
    """Run id -> its folder, of the offline runs that wandb has left under `folder`; one folder for each id."""
    found: dict[str, Path] = {}
    for path in sorted((folder / "wandb").glob("offline-run-*")):
        name = path.name.split("-", 3)[3]
        assert name not in found, f"{name} was written twice"
        found[name] = path
    return found


def inspect(run: Path) -> dict[str, Any]:
    """State, config and summary of an offline run, as wandb reads it."""
    found: dict[str, Any] = json.loads(_leet(run, "--summary"))
    return found


def records(run: Path, kind: str) -> Iterator[dict[str, Any]]:
    """The records of one kind (`run`, `history`, `artifact`, `metric`) in an offline run, as wandb reads them."""
    for line in _leet(run).splitlines():
        record = json.loads(line)
        if record["type"] == kind:
            yield record[kind]


def all_records(run: Path) -> str:
    """Whatever stands in an offline run, as wandb reads it."""
    return _leet(run)


def curve(run: Path, name: str) -> list[tuple[float, float]]:
    """(training step, value) of one metric."""
    rows = [record["item"] for record in records(run, "history")]
    return [(row["train/step"], row[name]) for row in rows if name in row]


def table(run: Path, name: str) -> list[dict[str, Any]]:
    """The rows of every version of a table, in the order of their files' steps."""
    files = (run / "files" / "media" / "table").glob(f"{name}_*.table.json")
    rows = []
    for path in sorted(files, key=lambda path: int(path.name.rsplit("_", 2)[1])):
        content = json.loads(path.read_text())
        rows += [dict(zip(content["columns"], row, strict=True)) for row in content["data"]]
    return rows


def _leet(run: Path, *words: str) -> str:
    """What `wandb leet inspect` calls, without the half second that its command line takes to start."""
    reader = Path(find_spec("wandb").submodule_search_locations[0], "bin", "wandb-core")
    (log,) = run.glob("*.wandb")
    argv = [reader, "leet", "inspect", "--no-observability", *words, "--json", "-run-file", log]
    return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60).stdout
