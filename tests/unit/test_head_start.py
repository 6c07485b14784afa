"""A supervisor that starts before its run is known: it is used once, or it ends and leaves nothing."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from jobs import TOKEN, make_job
from reading import reading_workspace

from evo.lightdata import replace
from evo.ops.runs.head_start import head_start
from evo.runner.executors.local import LocalExecutor, ahead
from evo.runner.watch import wait
from evo.session import open_session
from evo.store import experiments

MODULE = "evo.evaluate.by_command"


def children() -> set[int]:
    return set(map(int, Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()))


def test_the_first_run_takes_it_and_the_second_starts_its_own(tmp_path: Path) -> None:
    before = children()
    with ahead(MODULE):
        (started,) = children() - before
        executor = LocalExecutor()
        executor.warm_up(MODULE)
        first = executor.submit(make_job(tmp_path / "1"), token=TOKEN)
        second = executor.submit(make_job(tmp_path / "2"), token=TOKEN)
        assert first.process is not None
        assert second.process is not None
        assert first.process.pid == started != second.process.pid
        assert wait(executor, [first, second], timeout_s=20)
    assert [json.loads((tmp_path / n / "result.json").read_text())["outcome"] for n in "12"] == ["ok", "ok"]
    assert children() == before


@pytest.mark.parametrize("wanted", [None, "", "evo.evaluate.process"])
def test_one_that_nobody_takes_ends_with_the_block(wanted: str | None) -> None:
    """Also where a run wants another one than was thought."""
    before = children()
    with ahead(MODULE):
        (started,) = children() - before
        if wanted is not None:
            executor = LocalExecutor()
            executor.warm_up(wanted)
            assert len(children() - before) == 2
            executor.close()
        assert children() - before == {started}
    assert children() == before


def test_only_an_experiment_that_waits_for_a_score_gets_one(tmp_path: Path) -> None:
    root = reading_workspace(tmp_path)
    before = children()
    with open_session(root) as session:
        rows = list(experiments.all(session.db))
        waiting = {row.id for row in rows if row.score_mean is None and row.state in ("pending", "failed")}
        assert waiting
        assert len(waiting) < len(rows)
        for name in (*(row.id for row in rows), "exp_9999"):
            with head_start(session, name):
                assert len(children() - before) == (name in waiting)
        inline = replace(session, config=replace(session.config, run=replace(session.config.run, executor="inline")))
        with head_start(inline, min(waiting)):
            assert children() == before
