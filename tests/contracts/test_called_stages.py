"""A stage that names a module: the supervisor calls it in a fork of itself, and all that counts is as after an exec."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from evaluating import GOOD, answering, evaluator, grading_with, is_finished, results_of
from jobs import TOKEN, make_job

from evo.domain.job import EvalJob, Result
from evo.registry import load
from evo.runner.executors.base import Executor
from evo.runner.watch import wait
from evo.validation import restore

MODULE = "evo.evaluate.by_command"


@pytest.fixture(params=["local", "inline"])
def executor(request: pytest.FixtureRequest) -> Executor:
    return load("executor", request.param)()  # type: ignore[no-any-return]


def evaluate(executor: Executor, root: Path, job: EvalJob, module: str = MODULE) -> Result:
    """How a run ends whose evaluation is `job`, asked of a supervisor that has the module ready."""
    ordered = make_job(root)
    assert ordered.evaluate is not None
    stage = replace(
        ordered.evaluate, argv=evaluator(job), cwd="/", module=module, env=ordered.evaluate.env | {"LC_X": "x"}
    )
    executor.warm_up(module)
    handle = executor.submit(replace(ordered, evaluate=stage), token=TOKEN)
    assert wait(executor, [handle], timeout_s=20)
    return restore(Result, json.loads((root / "result.json").read_text()))


def test_it_is_measured_in_the_environment_of_the_stage(executor: Executor, tmp_path: Path) -> None:
    script = (
        "seen = [os.environ.get('LC_X'), os.environ.get('HOME'), os.environ['EVO_EVALUATION'], os.getcwd()]\n"
        "caller = open(f'/proc/{os.getppid()}/cmdline').read()\n"
        "print(json.dumps([seen, 'evo.runner.child' in caller]))\n"
        "open(args.out, 'w').writelines(json.dumps({'id': i['id'], 'score': 1}) + '\\n' for i in items)\n"
    )
    job = grading_with(tmp_path, script)
    result = evaluate(executor, tmp_path / "1", job)
    assert (result.outcome, result.exit_code) == ("ok", 0)
    assert [row["score"] for row in results_of(job)] == [1, 1, 1]
    seen, is_called = json.loads((tmp_path / "1" / "eval.log").read_text())
    assert seen == ["x", None, str(tmp_path / "1"), str(tmp_path / "out/work/0/files")]
    assert is_called == (executor.__class__.__name__ == "LocalExecutor")


def test_trouble_is_told_as_ever(executor: Executor, tmp_path: Path) -> None:
    bad = evaluate(executor, tmp_path / "1", answering(tmp_path, [{"id": "a", "score": "NaN"}, *GOOD[1:]]))
    assert (bad.outcome, bad.failure) == ("failed", "bad_result")
    assert "'a'" in bad.message
    assert not is_finished(answering(tmp_path, GOOD))
    gone = evaluate(executor, tmp_path / "2", answering(tmp_path, GOOD, model=str(tmp_path / "nowhere")))
    assert (gone.outcome, gone.failure, "nowhere does not exist" in gone.message) == ("trained", "eval_failed", True)
    broken = evaluate(executor, tmp_path / "3", answering(tmp_path, GOOD, generation={"samples": "many"}))
    assert (broken.outcome, broken.failure) == ("trained", "eval_failed")
    assert "Traceback" in (tmp_path / "3" / "eval.log").read_text()


def test_a_module_that_is_not_there_is_an_evaluation_that_failed(tmp_path: Path) -> None:
    executor: Executor = load("executor", "local")()
    result = evaluate(executor, tmp_path / "1", answering(tmp_path, GOOD), module="evo.no_such_module")
    assert (result.outcome, result.failure) == ("trained", "eval_failed")
    assert "No module named 'evo.no_such_module'" in (tmp_path / "1" / "eval.log").read_text()
