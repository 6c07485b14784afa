"""Files of an attempt folder: read safely, named alike on both sides of the border, and started from lightly."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from jobs import make_job

from evo.domain.job import AttemptFolder, Result, Stage
from evo.runner import records
from evo.runner.failures import Verdict
from evo.runner.metrics import MetricsTail, read_metrics
from evo.runner.stage import Order
from evo.validation import plain


def test_the_supervisor_and_the_domain_mean_the_same_files_and_fields(tmp_path: Path) -> None:
    """The supervisor reads job.json without the domain's dataclasses, for the sake of its start-up time."""
    folder = AttemptFolder(tmp_path)
    pairs = {
        records.JOB: folder.job,
        records.RESULT: folder.result,
        records.TRAINED: folder.trained,
        records.SUPERVISOR: folder.supervisor,
        records.HEARTBEAT: folder.heartbeat,
        records.CANCEL: folder.cancel,
        records.EVAL: folder.eval_dir,
        records.EVAL_JOB: folder.eval_job,
    }
    assert {name: tmp_path / name for name in pairs} == pairs
    assert Order._fields == tuple(field.name for field in fields(Stage))
    assert set(Verdict._fields) < {field.name for field in fields(Result)}
    job = plain(make_job(tmp_path))
    assert Order(**job["train"]).argv == job["train"]["argv"]
    assert {"controller", "gpus", "slots", "slots_dir", "grace_s", "no_output_is_failure", "isolation"} <= job.keys()


def test_the_supervisor_starts_without_heavy_modules() -> None:
    """Start-up is on the way of every run: what it imports is counted, not timed."""
    root = str(Path(records.__file__).parents[2])
    code = f"import sys; sys.path.append({root!r}); import evo.runner.child; print(*sys.modules)"
    argv = [sys.executable, "-I", "-S", "-c", code]
    loaded = set(subprocess.run(argv, capture_output=True, check=True, text=True).stdout.split())
    heavy = {"dataclasses", "inspect", "pathlib", "subprocess", "asyncio", "threading", "tempfile", "shutil", "hashlib"}
    heavy |= {"pydantic", "psutil", "filelock", "logging", "sqlite3", "socket", "evo.domain.job", "evo.validation"}
    assert not loaded & heavy
    ours = {name for name in loaded if name.startswith("evo.") and not name.startswith("evo.runner")}
    assert ours == set()


def test_a_record_is_replaced_whole_whatever_stands_in_its_place(tmp_path: Path) -> None:
    place, victim = str(tmp_path / "result.json"), tmp_path / "victim"
    victim.write_text("untouched")
    os.symlink(victim, place)
    records.write_record(place, {"n": 1})
    assert victim.read_text() == "untouched"
    records.remove(place)
    (tmp_path / "result.json" / "deep").mkdir(parents=True)
    (tmp_path / "result.json" / "deep" / "link").symlink_to(tmp_path)
    records.write_record(place, {"n": 2})
    assert records.read_record(place) == {"n": 2}
    assert victim.read_text() == "untouched"
    assert sorted(os.listdir(tmp_path)) == ["result.json", "victim"]


@pytest.mark.parametrize("content", ["", "{", "[1]", '"text"', "[" * 100_000, "\udcff"])
def test_what_is_no_json_object_is_no_record(tmp_path: Path, content: str) -> None:
    (tmp_path / "trained.json").write_bytes(content.encode(errors="surrogateescape"))
    assert records.read_record(str(tmp_path / "trained.json")) is None


def test_the_tail_of_a_log_shows_the_last_state_of_a_progress_bar(tmp_path: Path) -> None:
    log = tmp_path / "train.log"
    log.write_bytes(b"start\n 1%|\r 50%|\r100%|\n\n\xff\0 odd\nError: bad\n\n")
    assert records.tail_lines(str(log), lines=3, limit=4000) == ["100%|", "\ufffd odd", "Error: bad"]
    assert records.tail_lines(str(log), lines=9, limit=9) == ["or: bad"]
    assert records.tail_lines(str(tmp_path / "none.log"), lines=9, limit=8) == []


def test_metrics_are_read_line_by_line_while_they_grow(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    tail = MetricsTail(path)
    assert tail.read() == []
    path.write_text('{"step": 1}\n{"step": 2')
    assert tail.read() == [{"step": 1}]
    assert tail.read() == []
    with path.open("a") as file:
        file.write('}\nnoise\n[3]\n{"step": 3}\n')
    assert tail.read() == [{"step": 2}, {"step": 3}]
    path.write_text('{"step": 1}\n')
    assert tail.read() == [{"step": 1}], "a file begun anew is read anew"


def test_a_long_file_is_read_whole_and_a_monstrous_line_is_skipped(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    rows = [{"step": step, "text": "x" * 50} for step in range(30_000)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + "y" * 3_000_000 + '\n{"step": -1}\n')
    assert read_metrics(path) == [*rows, {"step": -1}]
    path.unlink()
    os.mkfifo(path)
    assert read_metrics(path) == []
