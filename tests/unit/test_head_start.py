"""A supervisor that starts before its run is known: it is used once, or it ends and leaves nothing."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from jobs import TOKEN, make_job

from evo.runner.executors.local import LocalExecutor, ahead
from evo.runner.watch import wait

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
