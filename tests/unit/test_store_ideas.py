"""Ideas in the store."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest
from growing import planted

from evo.domain.idea import Idea, Reference
from evo.errors import NotFound, Refused
from evo.lightdata import replace
from evo.store import events, ideas

PAPER = Reference("https://arxiv.org/abs/2305.18290", "arxiv", "Direct Preference Optimization", "pairs", "verified")
BETA = Idea(
    "a firmer reference", "literature", "dpo", "a larger beta forgets less", parent="exp_0000", recipe="dpo",
    patch={"beta": 0.3}, gain=0.02, low=-0.01, high=0.05, references=[PAPER],
)  # fmt: skip
PASS_AT_K = Idea("pass@k of the base", "control", "control", "the base knows it already", commands=["evo eval …"])


def test_ideas_come_back_whole_and_newest_first(db: sqlite3.Connection) -> None:
    first, second = ideas.add(db, [BETA, PASS_AT_K])
    assert [found.idea for found in ideas.listed(db)] == [PASS_AT_K, BETA]
    assert ideas.get(db, first.id).idea.references == [PAPER]
    assert (second.state, second.experiment) == ("open", None)
    with pytest.raises(NotFound, match="no idea 9"):
        ideas.get(db, 9)


def test_the_same_step_is_one_idea_whatever_its_words(db: sqlite3.Connection) -> None:
    (known,) = ideas.add(db, [BETA])
    (again,) = ideas.add(db, [replace(BETA, title="other words", brief="frontier_extrapolation")])
    assert again == known
    other = [replace(BETA, parent="exp_0001"), replace(BETA, patch={"beta": 0.2}), PASS_AT_K]
    assert len({idea.id for idea in ideas.add(db, other)} | {known.id}) == 4


def test_references_are_as_they_were_judged_last(db: sqlite3.Connection) -> None:
    """What could not be asked about once is verified the next time; an answer is not lost when nobody answers."""
    asleep, other = replace(PAPER, status="unresolved"), replace(PAPER, url="https://arxiv.org/abs/2402.01306")
    (known,) = ideas.add(db, [replace(BETA, references=[asleep])])
    for now, then in [(PAPER, "verified"), (asleep, "verified"), (replace(PAPER, status="mismatch"), "mismatch")]:
        (again,) = ideas.add(db, [replace(BETA, references=[now])])
        assert again == ideas.get(db, known.id)
        assert [one.status for one in again.idea.references] == [then]
    (again,) = ideas.add(db, [replace(BETA, references=[other])])
    assert (
        ideas.get(db, known.id).idea.references == again.idea.references == [replace(PAPER, status="mismatch"), other]
    )


def test_an_open_idea_promises_what_is_expected_of_it_now_and_a_taken_one_what_it_promised(
    db: sqlite3.Connection,
) -> None:
    (known,) = ideas.add(db, [BETA])
    grown = replace(BETA, gain=0.2, low=0.1, high=0.3, refuted_by="an interval that ends below +0.100")
    (again,) = ideas.add(db, [replace(grown, source="rules")])
    assert again == ideas.get(db, known.id)
    assert (again.idea.gain, again.idea.refuted_by, again.idea.source) == (0.2, grown.refuted_by, "kb")
    (of_a_model,) = ideas.add(db, [replace(BETA, gain=0.9, high=1.0, source="anthropic")])
    assert of_a_model.idea.gain == 0.2
    ideas.move(db, known.id, "taken", experiment=planted(db))
    (held,) = ideas.add(db, [BETA])
    assert held.idea.gain == ideas.get(db, known.id).idea.gain == 0.2


@pytest.mark.parametrize("status", ["mismatch", "not_found"])
def test_a_later_citation_that_is_wrong_is_told_and_does_not_stick(db: sqlite3.Connection, status: Any) -> None:
    wrong = replace(PAPER, title="Quite another paper", status=status)
    (known,) = ideas.add(db, [BETA])
    (again,) = ideas.add(db, [replace(BETA, references=[wrong])])
    assert again.idea.references == [PAPER, wrong]
    assert ideas.get(db, known.id).idea.references == [PAPER]


def test_a_taken_idea_is_linked_and_stays_so(db: sqlite3.Connection) -> None:
    experiment = planted(db)
    (known,) = ideas.add(db, [BETA])
    taken = ideas.move(db, known.id, "taken", experiment=experiment)
    assert (taken.state, taken.experiment) == ("taken", experiment)
    assert ideas.of_experiment(db, experiment) == taken
    with pytest.raises(Refused, match="taken and cannot become dropped"):
        ideas.move(db, known.id, "dropped")
    with pytest.raises(sqlite3.IntegrityError, match="keeps its experiment"):
        db.execute("UPDATE idea SET experiment = 'exp_0000' WHERE id = ?", (known.id,))
    ideas.move(db, known.id, "refuted", reason="it fell by 3 points")
    assert ideas.listed(db, states=["refuted"])[0].reason == "it fell by 3 points"
    assert [event.kind for event in events.read(db)][-3:] == ["idea", "idea_taken", "idea_refuted"]


def test_a_dropped_idea_can_be_taken_up_again(db: sqlite3.Connection) -> None:
    (known,) = ideas.add(db, [BETA])
    ideas.move(db, known.id, "dropped", reason="too dear")
    assert ideas.listed(db) == []
    assert ideas.move(db, known.id, "open").state == "open"
