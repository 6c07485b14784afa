"""Further seeds in a loop: of what evo can run again, none twice, and nothing is lost where one is refused."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from looping import make_loop_workspace
from workspaces import evo, new, skilled

from evo.beliefs import form_beliefs
from evo.domain.loop import LoopOptions, Plan
from evo.evidence import contenders
from evo.ops.ideas.facts import facts_of
from evo.ops.loop.driver import Driver
from evo.ops.loop.pick import Proposal, further_seed
from evo.session import Session, open_session
from evo.store import experiments, loops

WORSE = Proposal("move", Plan("a child", "why not"), -0.5, 0.01)
"""Any further seed is worth more."""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """exp_0001 is the best that evo trained, exp_0002 was adopted and is better; a run's own noise is large. A first
    try at a further seed of exp_0001 has failed."""
    folder = tmp_path_factory.mktemp("seeds")
    made = make_loop_workspace(folder / "ws", "gate.sigma-run=0.1", "search.tau=0.3", "gate.mode=none", n=60)
    broken = folder / "shared" / "broken"
    argv = skilled(0.6).replace("echo", f"! test -e {broken} && echo")
    assert evo("run", new(made, argv, "fails later"), cwd=made).code == 0
    checkpoint = folder / "theirs"
    checkpoint.mkdir()
    (checkpoint / "skill.txt").write_text("0.65")
    adopted = evo("adopt", checkpoint, "--parent", "exp_0000", "-m", "trained elsewhere", cwd=made)
    assert adopted.code == 0, adopted.out
    assert evo("run", adopted.data["id"], cwd=made).code == 0
    broken.touch()
    assert evo("run", "exp_0001", "--seed", "43", cwd=made).code == 6
    return made


@pytest.fixture
def session(workspace: Path) -> Iterator[Session]:
    with open_session(workspace) as opened:
        yield opened


def test_a_further_seed_is_of_what_evo_trains_and_above_every_seed_that_was_tried(session: Session) -> None:
    mind = form_beliefs(session)
    pair = contenders(session, mind)
    assert pair is not None
    assert {one.id: one.further for one in pair} == {"exp_0002": None, "exp_0001": 44}
    found = further_seed(session, mind, WORSE, [])
    assert found is not None
    assert (found.plan.parent, found.plan.seed) == ("exp_0001", 44)


def test_one_that_was_refused_or_failed_is_planned_no_more_and_discards_nothing(session: Session) -> None:
    """The best, which was adopted, stays the best when a seed of it is refused and another run has a score."""
    loop = loops.begin(session.db, LoopOptions(experiments=9), key=None, controller="{}", start_commit="")
    told: list[str] = []
    driver = Driver(session, loop, lambda event, _, message, __: told.append(f"{event}: {message}"))
    plan = Plan("a further seed of exp_0002", "they overlap", "exp_0002", seed=43)
    driver.start(loops.plan(session.db, loop.id, "seed", plan))
    while not driver.crew.is_idle:
        for done in driver.crew.reap():
            driver.end(driver.pick(done.k), done)
        time.sleep(0.02)
    assert list(driver.held) == [1], told
    driver.release()
    assert driver.pick(1).outcome == "refused", told
    assert experiments.get(session.db, "exp_0002").state == "open"
    assert further_seed(session, form_beliefs(session), WORSE, driver.picks()) is not None
    failed = loops.plan(session.db, loop.id, "seed", Plan("a further seed of exp_0001", "", "exp_0001", seed=44))
    loops.finish(session.db, failed, "failed", {})
    assert further_seed(session, form_beliefs(session), WORSE, driver.picks()) is None
    loops.end(session.db, loop, "stopped", "")


def test_a_control_names_a_seed_that_no_run_has_had(session: Session) -> None:
    nodes = facts_of(session).nodes
    assert [nodes[name].further for name in ("exp_0000", "exp_0001", "exp_0002")] == [None, 44, None]
