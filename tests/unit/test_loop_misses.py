"""What counts as a fall after the best, and as the best so far: the loop's words on a miss must be true."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from growing import EPOCH, planted, scored

from evo.config import EvoConfig, ParamSpec, RecipeConfig
from evo.domain.experiment import ROOT
from evo.domain.loop import LoopOptions, Pick, Plan
from evo.ops.loop.data import fell, lowered
from evo.ops.loop.settle import end_scored
from evo.session import Session
from evo.store import attempts, experiments, loops, meta
from evo.workspace.layout import Layout

RATED = RecipeConfig("sft", "sft", params={"learning_rate": ParamSpec("float", default=0.1)})


@pytest.fixture
def session(tmp_path: Path, db: sqlite3.Connection) -> Session:
    meta.set(db, "epoch", EPOCH)
    scored(db, ROOT, gain=None, gain_var=None)
    return Session(Layout(tmp_path), EvoConfig(), db)


def ran(session: Session, gain: float, *, parent: str = ROOT, sd: float = 0.02) -> str:
    return scored(session.db, planted(session.db, parent), gain=gain, gain_var=sd**2)


def pick(experiment: str, *, parent: str = ROOT, is_best: bool = False) -> Pick:
    ended_at = f"2999-01-01T00:00:{experiment[-2:]}Z"
    return Pick(1, 1, "idea", Plan("h", "w", parent), experiment, "scored", {"is_best": is_best}, ended_at=ended_at)


def has_fallen(session: Session, best: str, *picks: Pick) -> bool:
    known = experiments.get(session.db, best)
    found = fell(session, known, list(picks))
    assert (lowered(session, known, RATED, list(picks)) is not None) == found
    return found


def test_only_a_clear_fall_of_what_was_made_after_the_best_is_one(session: Session) -> None:
    """One item below its parent is none; what was made before the best had its score follows on nothing."""
    before = ran(session, -0.3)
    best = ran(session, 0.2)
    assert not has_fallen(session, best, pick(before), pick(best, is_best=True))
    little = ran(session, 0.19, parent=best)
    assert not has_fallen(session, best, pick(before), pick(best), pick(little))
    clear = ran(session, 0.1, parent=best)
    assert has_fallen(session, best, pick(little), pick(clear, parent=best))


def test_an_idea_without_a_parent_is_held_against_the_one_it_was_given(session: Session) -> None:
    best = ran(session, 0.2)
    assert not has_fallen(session, best, pick(ran(session, 0.18, parent=best), parent=""))
    assert has_fallen(session, best, pick(ran(session, 0.05, parent=best), parent=""))


def test_what_was_discarded_follows_on_nothing_and_the_base_has_no_rate(session: Session) -> None:
    best = ran(session, 0.2)
    clear = ran(session, 0.0, parent=best)
    experiments.move(session.db, clear, "discarded", reason="broken data")
    assert not has_fallen(session, best, pick(clear, parent=best))
    loss = ran(session, -0.3)
    assert fell(session, experiments.get(session.db, ROOT), [pick(loss)])
    assert lowered(session, experiments.get(session.db, ROOT), RATED, [pick(loss)]) is None


def test_the_best_so_far_is_the_best_of_those_that_stand(session: Session) -> None:
    db = session.db
    loop = loops.begin(db, LoopOptions(), key=None, controller="{}", start_commit="")
    discarded = ran(session, 0.3)
    experiments.move(db, discarded, "discarded", reason="its data was wrong")
    for gain, is_best in ((0.1, True), (0.05, False), (0.2, True)):
        name = ran(session, gain)
        planned = loops.link(db, loops.plan(db, loop.id, "move", Plan("h", "w", ROOT)), name)
        ended = end_scored(session, loop, planned, experiments.get(db, name), attempts.get(db, name, 1))
        assert (ended.told["gain"], ended.told["is_best"]) == (gain, is_best)
