"""The null world in small: the benchmark's own page, one search, through the whole product."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from workspaces import clean_environment

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_nothing_is_committed_where_nothing_helps(tmp_path: Path) -> None:
    """§13: P(any false certificate) when nothing helps. Twenty seeds: docs/results.md; here two, and a second start."""
    page = [sys.executable, str(ROOT / "benchmarks" / "null_world.py"), "--seeds", "2", "--experiments", "8"]
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    for started in (2, 0):
        done = subprocess.run(
            [*page, "--work", str(tmp_path / "worlds")],
            env=clean_environment(PYTHONPATH=paths), capture_output=True, text=True, timeout=200, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.count("8 runs  0 commits") == started  # what is done is not done again
        assert "2 searches: P(any commit) 0.000 (0 of 2" in done.stdout
    rows = [json.loads(line) for line in (tmp_path / "worlds/certify-400-8.jsonl").read_text().splitlines()]
    assert sorted(row["seed"] for row in rows) == [0, 1]
