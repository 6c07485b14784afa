"""Workers of a loop that die before they have begun anything."""

from __future__ import annotations

import time
from pathlib import Path

from looping import make_loop_workspace
from workspaces import evo_here

from evo.domain.loop import LoopOptions, Plan
from evo.ops.loop.driver import MOST_AGAIN, Driver
from evo.session import open_session
from evo.store import attempts, experiments, loops


def test_a_worker_that_dies_before_it_claims_is_started_again_and_refuses_nothing(tmp_path: Path) -> None:
    """C14: what was killed says nothing of the values; what dies each time is given up and waits for nobody."""
    workspace = make_loop_workspace(tmp_path / "ws", n=60)
    assert evo_here("run exp_0000 --json", cwd=workspace).code == 0
    with open_session(workspace) as session:
        loop = loops.begin(session.db, LoopOptions(experiments=9), key=None, controller="{}", start_commit="")
        driver = Driver(session, loop, lambda *_: None)
        for beta, deaths in ((0.3, 1), (0.4, MOST_AGAIN + 1)):
            plan = Plan("killed at once", "", "exp_0000", recipe="cube", settings={"beta": beta})
            pick = loops.plan(session.db, loop.id, "move", plan)
            driver.start(pick)
            for _ in range(deaths):
                driver.crew.running[0].process.kill()
                driver.crew.running[0].process.wait()
                driver.end(driver.pick(pick.k), driver.crew.reap()[0])
            while not driver.crew.is_idle:
                for done in driver.crew.reap():
                    driver.end(driver.pick(done.k), done)
                time.sleep(0.02)
        assert driver.held == {}
        assert [(one.outcome, one.told.get("failure")) for one in driver.picks()] == [
            ("scored", None), ("failed", "cut_off"),
        ]  # fmt: skip
        assert attempts.of(session.db, "exp_0002") == []
        given_up = experiments.get(session.db, "exp_0002")
        assert (given_up.state, given_up.state_class) == ("discarded", "build")
        loops.end(session.db, loop, "stopped", "")
