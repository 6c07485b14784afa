"""What several end-to-end tests ask of the operating system."""

from __future__ import annotations

import json
import os
from pathlib import Path


def processes_of(workspace: Path, experiment: str = "") -> list[int]:
    """Living processes of an attempt: its supervisor, those with its marker in their environment or command line."""
    attempts = workspace / ".evo" / "attempts" / experiment
    mark = str(attempts).encode()
    folders = (Path(folder) for folder, _, files in os.walk(attempts) if "supervisor.json" in files)
    found = [pid for folder in folders if (pid := supervisor(folder / "supervisor.json"))]
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            text = (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes()
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
        except (OSError, IndexError):
            continue
        if mark in text and state != "Z":
            found.append(int(entry.name))
    return sorted(set(found))


def supervisor(record: Path) -> int:
    """The pid of the supervisor that wrote `record`, while it lives; else 0."""
    try:
        pid = int(json.loads(record.read_text())["process"]["pid"])
        is_one = b"evo.runner.child" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ValueError, KeyError, TypeError):
        return 0
    return pid if is_one else 0
