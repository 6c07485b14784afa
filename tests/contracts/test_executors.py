"""The contract of evo/runner/executors/base.py, over every executor that this machine can run."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from jobs import GOOD, TOKEN, make_job, processes, unique_sleep

from evo.domain.job import AttemptFolder, Result
from evo.registry import load
from evo.runner import process
from evo.runner.executors.base import Executor
from evo.runner.watch import wait
from evo.validation import restore


@pytest.fixture(params=["local", "inline"])
def executor(request: pytest.FixtureRequest) -> Executor:
    return load("executor", request.param)()  # type: ignore[no-any-return]


def run(executor: Executor, root: Path, *stages: str | None, **options: object) -> Result:
    handle = executor.submit(make_job(root, *stages, **options), token=TOKEN)  # type: ignore[arg-type]
    assert wait(executor, [handle], timeout_s=20)
    return restore(Result, json.loads(AttemptFolder(root).result.read_text()))


def test_a_good_run_trains_then_evaluates_and_keeps_its_output(executor: Executor, tmp_path: Path) -> None:
    evaluate = "test -s output/w && test -s trained.json && echo scored > eval/summary.json"
    result = run(executor, tmp_path, GOOD, evaluate)
    assert (result.token, result.outcome, result.stage, result.exit_code) == (TOKEN, "ok", "evaluate", 0)
    assert result.train_seconds is not None
    assert 0 < result.train_seconds < 30
    folder = AttemptFolder(tmp_path)
    assert (folder.output / "w").read_text() == "weights\n"
    assert folder.eval_summary.read_text() == "scored\n"
    assert json.loads(folder.trained.read_text()) == {"token": TOKEN, "train_seconds": result.train_seconds}


@pytest.mark.parametrize(
    ("train", "evaluate", "outcome", "failure", "words"),
    [
        ("echo lost >&2; exit 4", "true", "failed", "nonzero_exit", "exit code 4\nlost"),
        ("echo 'torch.OutOfMemoryError: CUDA out of memory.'; exit 1", "true", "failed", "out_of_memory", "CUDA"),
        ("$PYTHON -c 'import no_such_module'", "true", "failed", "missing_module", "no_such_module"),
        ("no-such-program", "true", "failed", "not_startable", "not found"),
        ("kill -SEGV $$", "true", "killed", "signal", "SIGSEGV"),
        ("exit 137", "true", "killed", "signal", "SIGKILL"),
        ("echo trained nothing", "true", "failed", "no_output", "left nothing"),
        ("mkdir output/empty", "true", "failed", "no_output", "left nothing"),
        (
            GOOD,
            "echo evo: row 1 >&2; echo evo: row 7: no score; echo; exit 3",
            "failed",
            "bad_result",
            "row 7: no score",
        ),
        (GOOD, "echo broken; exit 1", "trained", "eval_failed", "exit code 1\nbroken"),
        (GOOD, "kill -KILL $$", "trained", "eval_failed", "SIGKILL"),
        (None, "exit 1", "trained", "eval_failed", "exit code 1"),
        (None, "true", "ok", "", ""),
        (GOOD, None, "ok", "", ""),
    ],
)
def test_how_an_attempt_ended(
    executor: Executor, tmp_path: Path, train: str, evaluate: str, outcome: str, failure: str, words: str
) -> None:
    """An evaluation in trouble leaves the attempt `trained`; only invalid results fail it."""
    result = run(executor, tmp_path, train, evaluate)
    assert (result.outcome, result.failure) == (outcome, failure)
    assert words in result.message
    assert result.log == str(tmp_path / f"{'train' if result.stage == 'train' else 'eval'}.log")
    assert AttemptFolder(tmp_path).trained.exists() == (train == GOOD)


def test_limits_bind_training_and_evaluation(executor: Executor, tmp_path: Path) -> None:
    """A timeout in training ends the attempt; in evaluation it leaves the evaluation owed."""
    sleep = unique_sleep()
    slow = run(executor, tmp_path / "1", f"{GOOD}; {sleep}", timeout_s=0.3)
    assert (slow.outcome, slow.failure, slow.stage) == ("timed_out", "timeout", "train")
    owed = run(executor, tmp_path / "2", GOOD, sleep, eval_timeout_s=0.3)
    assert (owed.outcome, owed.failure, owed.stage) == ("trained", "eval_failed", "evaluate")
    assert not processes(sleep)


def test_what_training_forges_is_gone_before_the_evaluation(executor: Executor, tmp_path: Path) -> None:
    """§12: a run that writes its own result, or results in the evaluator's name, changes nothing."""
    forge = (
        f"{GOOD}; mkdir result.json; ln -s /etc/passwd trained.json; rm -r eval; ln -s output eval;"
        "echo '{\"score\": 1.0}' > eval/summary.json; echo '{}' > eval/job.json; echo '{}' > job.json"
    )
    evaluate = "ls eval > seen; cp trained.json job.json home/; ! test -e result.json"
    result = run(executor, tmp_path, forge, evaluate)
    assert (result.token, result.outcome) == (TOKEN, "ok")
    assert (tmp_path / "seen").read_text() == "job.json\n"
    assert (tmp_path / "home" / "job.json").read_text().startswith('{"experiment": "exp_0001"')
    assert json.loads((tmp_path / "home" / "trained.json").read_text())["token"] == TOKEN
    assert json.loads((tmp_path / "eval" / "job.json").read_text()) == {"mine": True}
    assert Path("/etc/passwd").stat().st_size > 0


def test_a_log_that_became_a_link_is_not_read(executor: Executor, tmp_path: Path) -> None:
    """A failed run's message shows the end of its log: never that of a sealed file put in its place."""
    sealed = tmp_path / "heldout.jsonl"
    sealed.write_text("a sealed item\n")
    result = run(executor, tmp_path / "a", f"ln -sf {sealed} train.log; exit 1", "true")
    assert (result.failure, result.message) == ("nonzero_exit", "training ended with exit code 1")
    assert sealed.read_text() == "a sealed item\n"


def test_job_is_private_and_a_new_submission_clears_the_old(executor: Executor, tmp_path: Path) -> None:
    folder = AttemptFolder(tmp_path)
    assert run(executor, tmp_path, GOOD, "exit 1").outcome == "trained"
    assert stat.S_IMODE(folder.job.stat().st_mode) == 0o600
    folder.cancel.touch()
    resumed = run(executor, tmp_path, None, "test -s output/w")
    assert resumed.outcome == "ok"
    assert resumed.train_seconds == json.loads(folder.trained.read_text())["train_seconds"]


def test_found_ended_and_cancelled_too_late(executor: Executor, tmp_path: Path) -> None:
    assert executor.find(tmp_path) is None
    assert run(executor, tmp_path).outcome == "ok"
    found = executor.find(tmp_path)
    assert found is not None
    assert found.folder == tmp_path
    assert [state.stage for state in executor.poll([found, found])] == ["ended", "ended"]
    executor.cancel(found)
    executor.cancel(found)
    assert json.loads(AttemptFolder(tmp_path).result.read_text())["outcome"] == "ok"


def test_nothing_that_training_left_lives_into_the_evaluation(executor: Executor, tmp_path: Path) -> None:
    """§12: a process that training left behind could change the weights under the evaluator's hands."""
    sleep = unique_sleep()
    leave = f"{sleep} & setsid {sleep} & (trap '' TERM; setsid {sleep}) & {GOOD}; sleep 0.1"
    count = f"$PYTHON -c \"import os; print(sum(b'{sleep.split()[1]}' in open(f'/proc/{{p}}/cmdline','rb').read()"
    count += " for p in os.listdir('/proc') if p.isdigit() and int(p) not in (os.getpid(), os.getppid())))\" > seen"
    assert run(executor, tmp_path, leave, count).outcome == "ok"
    assert (tmp_path / "seen").read_text() == "0\n"
    assert not process.survivors(tmp_path)
