"""Evaluation jobs for tests: items, a shell script as the evaluation command, and the evaluator as a real process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from evo.domain.job import EvalJob
from evo.validation import plain

ROWS = [
    {"id": "a", "prompt": "1+1=", "target": "2"},
    {"id": "b", "prompt": "2+3=", "target": "5"},
    {"id": "c", "prompt": "4+4+4=", "target": "12"},
]
GOOD = [{"id": "a", "score": 1}, {"id": "b", "score": 0.5, "output": "five"}, {"id": "c", "score": 0}]


def lines(rows: list[object]) -> str:
    """JSON lines; a string is taken as it is."""
    return "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)


def job_in(folder: Path, *, rows: list[object] | None = None, **changes: object) -> EvalJob:
    """A command job whose folders lie in `folder`; `pinned/` and `weights/` are there and empty."""
    (folder / "pinned").mkdir(parents=True, exist_ok=True)
    (folder / "weights").mkdir(exist_ok=True)
    (folder / "items.jsonl").write_text(lines(ROWS if rows is None else rows), encoding="utf-8")
    job = EvalJob(
        split="dev",
        eval_hash="0123456789abcdef",
        backend="command",
        items=str(folder / "items.jsonl"),
        model=str(folder / "weights"),
        base_model=None,
        out_dir=str(folder / "out"),
        pinned_dir=str(folder / "pinned"),
        scorer="exact",
        command="sh answer.sh",
    )
    return replace(job, **changes)


def answering(folder: Path, answers: list[object], **changes: object) -> EvalJob:
    """A job whose command writes `answers` as its results."""
    job = job_in(folder, **changes)
    (folder / "pinned" / "answers.jsonl").write_text(lines(answers), encoding="utf-8")
    (folder / "pinned" / "answer.sh").write_text('cp answers.jsonl "$6"\n')
    return job


def grading_with(folder: Path, script: str, **changes: object) -> EvalJob:
    """A job whose command is the Python `script`, which finds `args` and `items` ready."""
    head = (
        "import argparse, json, os, sys\n"
        "parser = argparse.ArgumentParser()\n"
        "for name in ('--model', '--items', '--out'): parser.add_argument(name)\n"
        "args = parser.parse_args()\n"
        "items = [json.loads(line) for line in open(args.items)]\n"
    )
    job = job_in(folder, command="python score.py", **changes)
    (folder / "pinned" / "score.py").write_text(head + script)
    return job


def run(job: EvalJob, **environment: str) -> subprocess.CompletedProcess[str]:
    """The evaluator as a process."""
    argv = evaluator(job)
    return subprocess.run(argv, capture_output=True, text=True, env=os.environ | environment, check=False)


def begin(job: EvalJob) -> subprocess.Popen[bytes]:
    """The evaluator as a process that nobody waits for yet."""
    return subprocess.Popen(evaluator(job), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def evaluator(job: EvalJob) -> list[str]:
    path = Path(job.out_dir).parent / "job.json"
    path.write_text(json.dumps(plain(job)))
    return [sys.executable, "-m", "evo.evaluate", str(path)]


def results_of(job: EvalJob) -> list[dict[str, object]]:
    text = (Path(job.out_dir) / "results.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def is_finished(job: EvalJob) -> bool:
    return (Path(job.out_dir) / "summary.json").exists()


def last_line(ended: subprocess.CompletedProcess[str]) -> str:
    return ended.stderr.splitlines()[-1]
