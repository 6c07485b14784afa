"""The mid-evaluator beside training, as the supervisor sees it: started when asked, once more when it dies, ended with
training; and the wish to stop, which does not run out while training waits for evo's own answer."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from jobs import GOOD, TOKEN, eventually, make_job, processes, unique_sleep

from evo.domain.job import AttemptFolder, Job, Result, Stage
from evo.lightdata import replace
from evo.registry import load
from evo.runner.executors.base import Executor
from evo.runner.watch import wait
from evo.validation import restore

ASK = "echo '{{}}' > mid/{0}.want.json; until [ -e mid/{0}.json ] || [ -e mid/down.json ]; do sleep 0.02; done; "
ANSWER = (
    'for want in mid/*.want.json; do answer="${want%.want.json}.json"; [ -e "$answer" ] || echo "{}" > "$answer"; done'
)
SERVE = f"while :; do {ANSWER}; sleep 0.02; done"


@pytest.fixture(params=["local", "inline"])
def executor(request: pytest.FixtureRequest) -> Executor:
    return load("executor", request.param)()  # type: ignore[no-any-return]


def with_mid(root: Path, train: str, mid: str, *, timeout_s: float | None = None, **options: object) -> Job:
    folder = AttemptFolder(root)
    job = make_job(root, train, **options)  # type: ignore[arg-type]
    folder.mid_dir.mkdir()
    stage = Stage(["sh", "-c", mid], str(root), {"PATH": os.environ["PATH"]}, str(folder.mid_log), timeout_s)
    return replace(job, mid=stage)


def run(executor: Executor, job: Job) -> Result:
    assert wait(executor, [executor.submit(job, token=TOKEN)], timeout_s=30)
    return restore(Result, json.loads(AttemptFolder(Path(job.folder)).result.read_text()))


def test_it_is_started_when_the_first_question_lies_there_and_ends_with_training(
    executor: Executor, tmp_path: Path
) -> None:
    sleep = unique_sleep()
    serve = f"echo started >> starts; {sleep} & {SERVE}"
    train = f"sleep 0.3; ls starts 2> unasked; {ASK.format('000001')}{ASK.format('000002')}{GOOD}"
    result = run(executor, with_mid(tmp_path, train, serve))
    assert result.outcome == "ok"
    assert (tmp_path / "starts").read_text() == "started\n"
    assert "starts" in (tmp_path / "unasked").read_text(), "it was started before anybody had asked"
    assert (tmp_path / "mid" / "000002.json").exists()
    assert eventually(lambda: not processes(sleep)), "a process of the mid-evaluator is left"


def test_without_a_question_no_process_is_started(executor: Executor, tmp_path: Path) -> None:
    assert run(executor, with_mid(tmp_path, GOOD, "touch started")).outcome == "ok"
    assert not (tmp_path / "started").exists()


def test_it_is_started_once_more_when_it_dies(executor: Executor, tmp_path: Path) -> None:
    dies_once = f"[ -e starts ] && {{ echo again >> starts; {SERVE}; }}; echo first > starts; exit 1"
    assert run(executor, with_mid(tmp_path, ASK.format("000001") + GOOD, dies_once)).outcome == "ok"
    assert (tmp_path / "starts").read_text() == "first\nagain\n"
    assert not (tmp_path / "mid" / "down.json").exists()


def test_after_two_deaths_training_is_told_that_it_is_down_and_why(executor: Executor, tmp_path: Path) -> None:
    dies = "echo start >> starts; echo evo: the scorer is broken >&2; exit 1"
    train = ASK.format("000001") + ASK.format("000002") + GOOD
    assert run(executor, with_mid(tmp_path, train, dies)).outcome == "ok", "training goes on without"
    assert (tmp_path / "starts").read_text() == "start\nstart\n"
    why = json.loads((tmp_path / "mid" / "down.json").read_text())["why"]
    assert why.endswith("the scorer is broken")


def test_an_answer_that_takes_too_long_is_a_death(executor: Executor, tmp_path: Path) -> None:
    sleep = unique_sleep()
    job = with_mid(tmp_path, ASK.format("000001") + GOOD, f"echo start >> starts; {sleep}", timeout_s=0.4)
    began = time.monotonic()
    assert run(executor, job).outcome == "ok"
    assert time.monotonic() - began < 20
    assert (tmp_path / "starts").read_text() == "start\nstart\n"
    assert (tmp_path / "mid" / "down.json").exists()
    assert eventually(lambda: not processes(sleep))


def test_a_command_that_cannot_be_started_is_told(tmp_path: Path) -> None:
    job = with_mid(tmp_path, ASK.format("000001") + GOOD, "true")
    assert job.mid is not None
    job = replace(job, mid=replace(job.mid, argv=["/nowhere/python"]))
    assert run(load("executor", "local")(), job).outcome == "ok"
    assert "/nowhere/python" in json.loads((tmp_path / "mid" / "down.json").read_text())["why"]


def test_it_ends_when_training_is_killed(executor: Executor, tmp_path: Path) -> None:
    sleep = unique_sleep()
    train = ASK.format("000001") + "kill -9 $$"
    result = run(executor, with_mid(tmp_path, train, f"{sleep} & {SERVE}"))
    assert (result.outcome, result.failure) == ("killed", "signal")
    assert eventually(lambda: not processes(sleep))


@pytest.mark.parametrize(("says", "is_evaluated"), [("true", False), ("false", True)])
def test_a_regressed_best_checkpoint_is_not_evaluated(
    executor: Executor, tmp_path: Path, says: str, *, is_evaluated: bool
) -> None:
    """A12: the full evaluation runs only where the mid-evaluation does not fall behind; the last best one decides."""
    answers = [
        ("000001", f'{{"is_best": true, "is_regressed": {"false" if says == "true" else "true"}}}'),
        ("000002", f'{{"is_best": true, "is_regressed": {says}}}'),
        ("000003", '{"is_best": false, "is_regressed": true}'),
    ]
    train = "".join(f"echo '{text}' > mid/{step}.json; " for step, text in answers) + GOOD
    job = replace(with_mid(tmp_path, train, "true", evaluate="touch evaluated"), skips_regressed=True)
    result = run(executor, job)
    assert result.outcome == "ok"
    assert (tmp_path / "evaluated").exists() is is_evaluated
    assert (result.stage, result.failure) == (("evaluate", "") if is_evaluated else ("train", "regressed"))


@pytest.mark.parametrize("why", ["it may not be left out", "somebody stopped it"])
def test_a_regressed_one_is_evaluated_where_that_is_wanted(executor: Executor, tmp_path: Path, why: str) -> None:
    train = """echo '{"is_best": true, "is_regressed": true}' > mid/000001.json; """
    train += "touch stop; sleep 0.3; " if why == "somebody stopped it" else ""
    job = with_mid(tmp_path, train + GOOD, "true", evaluate="touch evaluated", stop_grace_s=20.0)
    result = run(executor, replace(job, skips_regressed=why == "somebody stopped it"))
    assert (result.outcome, result.failure, result.stage) == ("ok", "", "evaluate")
    assert (tmp_path / "evaluated").exists()


def test_told_to_stop_it_has_its_grace_and_what_it_left_is_evaluated(executor: Executor, tmp_path: Path) -> None:
    train = f"{GOOD}; touch stop; sleep 30"
    began = time.monotonic()
    result = run(executor, make_job(tmp_path, train, "touch evaluated", stop_grace_s=0.5))
    assert 0.5 < time.monotonic() - began < 15
    assert (result.outcome, result.failure) == ("ok", "")
    assert (tmp_path / "evaluated").exists()


def test_one_that_ends_by_itself_in_its_grace_is_judged_as_ever(executor: Executor, tmp_path: Path) -> None:
    assert run(executor, make_job(tmp_path / "good", f"touch stop; {GOOD}", stop_grace_s=20.0)).outcome == "ok"
    result = run(executor, make_job(tmp_path / "bad", f"touch stop; {GOOD}; exit 3", stop_grace_s=20.0))
    assert (result.outcome, result.failure) == ("failed", "nonzero_exit")


def test_stopped_with_nothing_to_show(executor: Executor, tmp_path: Path) -> None:
    result = run(executor, make_job(tmp_path, "touch stop; sleep 30", stop_grace_s=0.2))
    assert (result.outcome, result.failure) == ("killed", "stopped")


def test_its_grace_does_not_run_while_it_waits_for_an_answer(executor: Executor, tmp_path: Path) -> None:
    slow = "sleep 1.5; " + SERVE
    train = f"touch stop; {ASK.format('000001')}{GOOD}"
    result = run(executor, with_mid(tmp_path, train, slow, stop_grace_s=0.7))
    assert result.outcome == "ok"
    assert (tmp_path / "mid" / "000001.json").exists(), "it was ended while it waited for evo"
