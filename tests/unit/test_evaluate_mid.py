"""The mid-evaluator as a process: questions in, answers out, the best named, the parent beside it, nothing made up."""

from __future__ import annotations

import contextlib
import json
import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from evaluating import job_in
from jobs import eventually

from evo import recipe
from evo.domain.item import ItemResult
from evo.domain.job import AttemptFolder, EvalJob, Job, MidFacts, MidPart, RunFacts, Stage
from evo.evaluate.mid import judged
from evo.evaluate.process import evaluate
from evo.evaluate.weights import weights_hash
from evo.files import sha256_file, write_json
from evo.validation import plain

ROWS: list[object] = [{"id": f"m{i}", "prompt": f"question {i}", "target": str(i)} for i in range(8)]
SCRIPT = """\
import argparse, json, pathlib
parser = argparse.ArgumentParser()
for name in ("--model", "--items", "--out"): parser.add_argument(name)
args = parser.parse_args()
right = int((pathlib.Path(args.model) / "right").read_text())
rows = [json.loads(line) for line in open(args.items)]
with open(args.out, "w") as out:
    for i, row in enumerate(rows):
        out.write(json.dumps({"id": row["id"], "score": float(i < right), "output": f"says {i}"}) + "\\n")
"""


def results(scores: list[float]) -> list[ItemResult]:
    return [ItemResult(f"m{i}", 0, score, "hash", "output") for i, score in enumerate(scores)]


@pytest.fixture
def folder(tmp_path: Path) -> AttemptFolder:
    """An attempt with a mid job: item i is right where i is below the number in the checkpoint's file `right`."""
    paths = AttemptFolder(tmp_path)
    paths.mid_dir.mkdir()
    job = job_in(tmp_path, rows=ROWS, split="mid", command="python score.py", out_dir=str(paths.mid_dir))
    (tmp_path / "pinned" / "score.py").write_text(SCRIPT)
    write_json(paths.mid_job, plain(job))
    return paths


def rewrite(folder: AttemptFolder, **changes: object) -> None:
    job = EvalJob(**json.loads(folder.mid_job.read_text()))
    write_json(folder.mid_job, plain(replace(job, **changes)))


def checkpoint(folder: AttemptFolder, right: int) -> Path:
    place = folder.checkpoints / f"right-{right}"
    place.mkdir(parents=True, exist_ok=True)
    (place / "right").write_text(str(right))
    return place


@contextlib.contextmanager
def evaluator(folder: AttemptFolder, digest: str | None = None) -> Iterator[subprocess.Popen[bytes]]:
    argv = [sys.executable, "-m", "evo.evaluate", "--mid", str(folder.root), digest or sha256_file(folder.mid_job)]
    with folder.mid_log.open("ab") as log, subprocess.Popen(argv, stdout=log, stderr=log) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def run(folder: AttemptFolder, monkeypatch: pytest.MonkeyPatch) -> recipe.Run:
    """What the training page of this attempt holds."""
    facts = RunFacts("exp_0001", 1, 1, {}, {}, str(folder.output), str(folder.root), mid=MidFacts(5, 2, 8))
    stage = Stage(["true"], "/", {}, str(folder.mid_log))
    write_json(folder.job, plain(Job("exp_0001", 1, str(folder.root), None, None, facts, mid=stage)))
    monkeypatch.setenv("EVO_JOB", str(folder.root))
    return recipe.current()


def test_a_page_asks_and_one_warm_process_answers(folder: AttemptFolder, run: recipe.Run) -> None:
    """A7: after each checkpoint a few items are scored by the same scorer, through the same command and results."""
    with evaluator(folder) as process:
        found = [run.mid_eval(checkpoint(folder, right), step=step) for step, right in ((5, 2), (10, 6), (15, 4))]
        assert process.poll() is None
    assert [(score.step, score.mean, score.n, score.is_best) for score in found] == [
        (5, 0.25, 8, True), (10, 0.75, 8, True), (15, 0.5, 8, False),
    ]  # fmt: skip
    assert all(score.delta is None and score.delta_se is None for score in found)
    assert run.mid_scores == found
    rows = [json.loads(line) for line in (folder.mid_dir / "000010.jsonl").read_text().splitlines()]
    assert [(row["item"], row["score"], row["prompt"], row["output"]) for row in rows[5:7]] == [
        ("m5", 1.0, "question 5", "says 5"), ("m6", 0.0, "question 6", "says 6"),
    ]  # fmt: skip
    assert json.loads((folder.mid_dir / "000010.json").read_text())["weights_hash"] == weights_hash(
        checkpoint(folder, 6)
    )


def test_every_rank_of_a_launch_waits_for_the_one_answer(folder: AttemptFolder, run: recipe.Run) -> None:
    """§6: `mid_eval` is a barrier, only rank 0 writes."""
    other = recipe.current()
    other.is_main = False
    heard: list[recipe.MidScore | None] = []
    waiting = threading.Thread(target=lambda: heard.append(other.mid_eval(checkpoint(folder, 3), step=5)))
    waiting.start()
    time.sleep(0.1)
    assert not list(folder.mid_dir.glob("*.want.json")), "another rank has asked"
    with evaluator(folder):
        own = run.mid_eval(checkpoint(folder, 3), step=5)
        waiting.join(10)
    assert heard == [own]


def test_a_broken_mid_evaluation_is_said_and_training_goes_on(
    folder: AttemptFolder, run: recipe.Run, capfd: pytest.CaptureFixture[str]
) -> None:
    write_json(folder.mid_dir / "down.json", {"why": "no memory"})
    assert run.mid_eval(checkpoint(folder, 1), step=5) is None
    assert "no mid-evaluation at step 5: no memory" in capfd.readouterr().err


def test_without_an_evaluator_nobody_waits(folder: AttemptFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A page started by hand has its checkpoints, and nobody who answers."""
    monkeypatch.delenv("EVO_JOB", raising=False)
    params = tmp_path / "params.json"
    params.write_text('{"params": {}, "mid": {"every": 5}}')
    run = recipe.current(["--params", str(params), "--out", str(tmp_path / "out")])
    assert run.mid == recipe.Mid(every=5)
    assert run.mid_eval(tmp_path, step=5) is None
    assert not (tmp_path / "out" / "mid").exists()


def test_a_job_that_the_training_has_rewritten_is_refused(folder: AttemptFolder) -> None:
    """The job names a command, and lies where training can write."""
    digest = sha256_file(folder.mid_job)
    rewrite(folder, command="touch owned")
    with evaluator(folder, digest) as process:
        assert process.wait(20) == 1
    assert folder.mid_log.read_text().splitlines()[-1] == f"evo: {folder.mid_job} is not what evo wrote"


def test_a_checkpoint_that_cannot_be_scored_ends_the_process_with_its_reason(folder: AttemptFolder) -> None:
    """§12: a failed evaluator is never replaced by a made-up number."""
    place = checkpoint(folder, 3)
    (place / "right").write_text("many")
    write_json(folder.mid_dir / "000005.want.json", {"step": 5, "model": str(place)})
    with evaluator(folder) as process:
        assert process.wait(20) == 1
    assert folder.mid_log.read_text().splitlines()[-1].startswith("evo: the evaluation command failed with exit code 1")
    assert not (folder.mid_dir / "000005.json").exists()


def test_a_second_process_knows_the_best_of_the_first(folder: AttemptFolder, run: recipe.Run) -> None:
    with evaluator(folder):
        assert run.mid_eval(checkpoint(folder, 6), step=5)
    with evaluator(folder):
        worse = run.mid_eval(checkpoint(folder, 4), step=10)
    assert worse is not None
    assert not worse.is_best


def test_beside_the_parent(folder: AttemptFolder) -> None:
    """A12: paired over the items that both have; two standard errors below is a regression, and no sooner."""
    job = replace(EvalJob(**json.loads(folder.mid_job.read_text())), reference={f"m{i}": 1.0 for i in range(6)})
    far = judged(results([0, 0, 0, 1, 0, 1, 1, 1]), job, step=5, best=None)
    assert far.delta == pytest.approx(-4 / 6)
    spread = (4 * (1 - 4 / 6) ** 2 + 2 * (4 / 6) ** 2) / 5
    assert far.delta_se == pytest.approx(math.sqrt(spread / 6))
    assert far.is_regressed
    near = judged(results([1, 1, 1, 1, 0, 0, 1, 1]), job, step=5, best=None)
    assert near.delta == pytest.approx(-2 / 6)
    assert not near.is_regressed
    assert judged(results([0.0] * 8), replace(job, reference={"other": 1.0}), step=5, best=None).delta is None


def test_less_is_better_where_the_metric_says_so(folder: AttemptFolder) -> None:
    job = replace(
        EvalJob(**json.loads(folder.mid_job.read_text())), direction="min", reference={f"m{i}": 0.0 for i in range(5)}
    )
    worse = judged(results([1.0] * 5), job, step=10, best=0.5)
    assert (worse.is_best, worse.is_regressed, worse.delta) == (False, True, 1.0)
    assert judged(results([0.0] * 5), job, step=10, best=0.5).is_best


@pytest.mark.parametrize("is_answered", [True, False])
def test_a_full_evaluation_leaves_the_mid_results_of_its_weights(
    folder: AttemptFolder, run: recipe.Run, *, is_answered: bool
) -> None:
    """Children need something to be compared with; a mid-evaluation of the same weights is not made twice."""
    with evaluator(folder):
        run.mid_eval(checkpoint(folder, 6), step=5)
        run.mid_eval(checkpoint(folder, 2), step=10)
    mid = EvalJob(**json.loads(folder.mid_job.read_text()))
    weights = checkpoint(folder, 6 if is_answered else 4)
    calls = folder.root / "calls"
    script = SCRIPT + f"open({str(calls)!r}, 'a').write(rows[0]['id'] + ' ')\n"
    (folder.root / "pinned" / "score.py").write_text(script)
    dev = folder.root / "dev.jsonl"
    dev.write_text(json.dumps({"id": "d0", "prompt": "dev", "target": "x"}) + "\n")
    part = MidPart(mid.items, sha256_file(Path(mid.items)), str(folder.mid_dir))
    evaluate(replace(mid, split="dev", items=str(dev), model=str(weights), out_dir=str(folder.eval_dir), mid=part))
    assert calls.read_text().split() == (["d0"] if is_answered else ["m0", "d0"])
    found = [ItemResult(**json.loads(line)) for line in folder.eval_mid.read_text().splitlines()]
    assert sum(result.score for result in found) == (6 if is_answered else 4)
    assert [result.item for result in found] == [f"m{i}" for i in range(8)]


def test_a_mid_slice_that_cannot_be_scored_costs_no_evaluation(folder: AttemptFolder, capfd) -> None:
    """It is no part of the score."""
    mid = EvalJob(**json.loads(folder.mid_job.read_text()))
    part = MidPart(mid.items, "0" * 64, str(folder.mid_dir))
    model = checkpoint(folder, 2)
    job = replace(mid, split="dev", model=str(model), out_dir=str(folder.eval_dir), mid=part)
    assert evaluate(job).n == 8
    assert not folder.eval_mid.exists()
    assert "the mid slice was not scored" in capfd.readouterr().err


def test_the_answer_comes_soon_after_the_question(folder: AttemptFolder, run: recipe.Run) -> None:
    """A warm process: later questions cost the evaluation alone, here one start of Python."""
    with evaluator(folder):
        run.mid_eval(checkpoint(folder, 1), step=5)
        began = time.monotonic()
        assert run.mid_eval(checkpoint(folder, 2), step=10)
        assert time.monotonic() - began < 5
    assert eventually(lambda: not any(f"--mid {folder.root}" in line for line in _command_lines()))


def _command_lines() -> list[str]:
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            found.append(Path("/proc", name, "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return found
