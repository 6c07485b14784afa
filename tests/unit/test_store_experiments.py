"""Adding experiments, finding them, and moving them between standings."""

from __future__ import annotations

import math
import sqlite3
from typing import Any

import pytest
from growing import committed, failed, planted, scored, wish

from evo.domain.experiment import ROOT, Standing
from evo.domain.score import Score
from evo.errors import NotFound, Refused
from evo.store import events, experiments
from evo.store.experiments import Rescored


def test_asking_twice_gives_the_one_that_exists(db: sqlite3.Connection) -> None:
    """§5: `evo new` is idempotent, by what is asked and by key."""
    asked = wish(params={"learning_rate": 5e-5}, seed=7, start_from="parent", picked_by="tree-ucb", key="k1")
    first, created = experiments.add(db, asked)
    assert created
    assert (first.id, first.branch, first.state, first.params) == (
        "exp_0001", "evo/exp_0001", "pending", {"learning_rate": 5e-5},
    )  # fmt: skip
    assert (first.seed, first.start_from) == (7, "parent")
    assert experiments.add(db, asked) == (first, False)
    assert experiments.add(db, wish(fingerprint=asked.fingerprint)) == (first, False)
    assert experiments.add(db, wish(fingerprint=asked.fingerprint, key="k2")) == (first, False)
    assert [event.kind for event in events.read(db, experiment=first.id)] == ["created"]


def test_a_key_stands_for_one_experiment(db: sqlite3.Connection) -> None:
    """§5: the key is looked up first, and the same key with other arguments is exit 4, whoever got it how."""
    first, _ = experiments.add(db, wish(key="k1"))
    experiments.add(db, wish(fingerprint=first_fingerprint(db, first.id), key="k2"))
    for key in ("k1", "k2"):
        with pytest.raises(Refused, match=first.id) as caught:
            experiments.add(db, wish(key=key))
        assert caught.value.exit_code == 4
    other, _ = experiments.add(db, wish())
    with pytest.raises(Refused, match=first.id):
        experiments.add(db, wish(fingerprint=first_fingerprint(db, other.id), key="k1"))
    assert [e.id for e in experiments.all(db)] == [ROOT, first.id, other.id]


def first_fingerprint(db: sqlite3.Connection, id: str) -> Any:
    return db.execute("SELECT fingerprint FROM experiment WHERE id = ?", (id,)).fetchone()[0]


def test_what_cannot_be_a_parent(db: sqlite3.Connection) -> None:
    """§2: pending, discarded and contaminated experiments cannot be parents; failed ones can."""
    pending, open_, crashed = planted(db), scored(db, planted(db)), failed(db, planted(db))
    discarded, contaminated = planted(db), planted(db)
    experiments.move(db, discarded, "discarded", reason="did not help")
    experiments.move(db, contaminated, "contaminated")
    for barren, way_out in ((pending, "evo run"), (discarded, "evo restore"), (contaminated, "branch from")):
        with pytest.raises(Refused, match=barren) as caught:
            experiments.add(db, wish(parent=barren))
        assert way_out in caught.value.hint
    for fertile in (ROOT, open_, crashed):
        assert experiments.get(db, planted(db, fertile)).parent == fertile
    with pytest.raises(NotFound):
        experiments.add(db, wish(parent="exp_0099"))


@pytest.mark.parametrize(
    ("asked", "named"), [("exp_0044", "exp_0003"), ("exp_0O02", "exp_0002"), ("../../etc/passwd", "exp_0001")]
)
def test_an_unknown_id_names_the_nearest(db: sqlite3.Connection, asked: str, named: str) -> None:
    """§12: paths outside the workspace read through an id; an unknown one is exit 3 and names its neighbours."""
    for _ in range(3):
        planted(db)
    with pytest.raises(NotFound) as caught:
        experiments.get(db, asked)
    assert asked in caught.value.message
    assert named in caught.value.hint
    assert caught.value.exit_code == 3


def test_a_move_that_is_not_legal_says_how_things_stand(db: sqlite3.Connection) -> None:
    """§2: the table of moves, through the one function that every writer uses."""
    id = committed(db, scored(db, planted(db)))
    with pytest.raises(Refused, match="is committed and cannot become discarded") as caught:
        experiments.move(db, id, "discarded")
    assert "it can become: open" in caught.value.hint
    with pytest.raises(Refused, match="is pending and cannot become committed"):
        experiments.move(db, planted(db), "committed")
    assert experiments.get(db, id).state == "committed"


@pytest.mark.parametrize("former", ["pending", "open", "failed"])
def test_a_restore_gives_back_the_former_standing_and_never_more(db: sqlite3.Connection, former: Standing) -> None:
    """§12: a discarded node restored as committed. Through contamination and discard, step by step back."""
    id = planted(db)
    if former != "pending":
        (scored if former == "open" else failed)(db, id)
    with pytest.raises(Refused, match="nothing to restore"):
        experiments.restore(db, id, reason="again")
    experiments.move(db, id, "contaminated", reason="overlap with dev")
    gone = experiments.move(db, id, "discarded", reason="tired of it", class_="data")
    assert (gone.former_state, gone.state_reason, gone.state_class) == ("contaminated", "tired of it", "data")
    for unearned in ("committed", "open", "pending", "failed"):
        with pytest.raises(Refused):
            experiments.move(db, id, unearned)  # type: ignore[arg-type]
    assert experiments.restore(db, id, reason="kept").state == "contaminated"
    back = experiments.restore(db, id, reason="clean after all")
    assert (back.state, back.former_state, back.state_class) == (former, None, "")


def test_a_voided_commit_comes_back_as_open(db: sqlite3.Connection) -> None:
    """§2: committed → open → discarded; restoring that gives open."""
    id = committed(db, scored(db, planted(db)))
    experiments.move(db, id, "open", reason="identity broken")
    experiments.move(db, id, "discarded")
    assert experiments.restore(db, id, reason="again").state == "open"
    with pytest.raises(Refused):
        experiments.move(db, id, "pending")


@pytest.mark.parametrize("value", [True, "0.5", math.nan, math.inf])
def test_scores_in_bulk_are_all_numbers_or_nothing_is_written(db: sqlite3.Connection, value: Any) -> None:
    """§12: NaN, inf, bool or string recorded as a score."""
    first, second = scored(db, planted(db)), scored(db, planted(db))
    before = list(experiments.all(db))
    for wrong in (Score(value, 0.1, 3), Score(0.5, value, 3)):
        with pytest.raises(Refused, match=second):
            experiments.set_scores(db, [Rescored(first, Score(0.9, 0.1, 3), "e2"), Rescored(second, wrong, "e2")])
    with pytest.raises(Refused, match="gain"):
        experiments.set_scores(db, [Rescored(second, Score(0.5, 0.1, 3), "e2", gain=value, gain_var=0.1)])
    assert list(experiments.all(db)) == before
    experiments.set_scores(db, [Rescored(first, Score(0.9, 0.1, 3), "e2", gain=0.2, gain_var=0.01)])
    now = experiments.get(db, first)
    assert (now.score_mean, now.epoch, now.gain) == (0.9, "e2", 0.2)


def test_relatives_and_twins_are_found(db: sqlite3.Connection) -> None:
    a = scored(db, planted(db), content_hash="same")
    b = scored(db, planted(db, a), content_hash="same")
    c = planted(db, b)
    assert [e.id for e in experiments.ancestors(db, c)] == [b, a, ROOT]
    assert [e.id for e in experiments.children(db, a)] == [b]
    assert [e.id for e in experiments.find_by_content(db, "same", 0)] == [a, b]
    assert experiments.find_by_content(db, "same", 1) == []
    assert experiments.is_frozen(db, a)
    assert not experiments.is_frozen(db, c)
    assert experiments.is_frozen(db, committed(db, scored(db, planted(db))))


def test_small_facts_are_kept(db: sqlite3.Connection) -> None:
    id, other = planted(db), planted(db)
    experiments.set_content(db, id, commit="c0ffee", content_hash="abc")
    experiments.set_insight(db, id, "a smaller step size helps")
    experiments.link_rerun(db, id, of=other)
    found = experiments.get(db, id)
    assert (found.commit, found.content_hash, found.insight, found.rerun_of) == (
        "c0ffee", "abc", "a smaller step size helps", other,
    )  # fmt: skip
    with pytest.raises(NotFound):
        experiments.set_insight(db, "exp_0099", "nobody")
