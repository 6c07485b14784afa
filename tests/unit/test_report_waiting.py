"""`evo next` names the stage, and offers the idea that makes sense now."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from reading import EPOCH, HELDOUT, plant, right, score

from evo.domain.experiment import ROOT
from evo.domain.finding import Finding
from evo.domain.idea import Idea, Reference
from evo.report.next import next_reply, steps_of
from evo.session import Session, open_session
from evo.store import db as database
from evo.store import experiments, findings, ideas, listings, meta
from evo.workspace.layout import Layout
from evo.workspace.recipes import find_recipe, keep


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    """A scored root of a model's workspace."""
    layout = Layout(tmp_path)
    layout.create()
    layout.data.mkdir()
    layout.config.write_text("name: bare\nmodel:\n  source: base\n")
    database.create(layout.db)
    with contextlib.closing(database.connect(layout.db)) as db:
        experiments.add_root(db, hypothesis="the base", recipe="base", technique="none")
        meta.set(db, "heldout_hash", HELDOUT)
        meta.set(db, "epoch", EPOCH)
        score(db, ROOT, right(16))
    keep(layout, find_recipe(layout, "sft").folder)
    with open_session(tmp_path) as opened:
        yield opened


def idea(title: str, rate: float, **more: Any) -> Idea:
    told = {"brief": "frontier_extrapolation", "recipe": "sft", "patch": {"learning_rate": rate}, "gain": 0.02} | more
    return Idea(title=title, technique="sft", hypothesis=f"{title}, because", **told)


def asked(session: Session, *found: Idea) -> list[int]:
    time.sleep(0.002)  # another asking has another time
    return [one.id for one in ideas.add(session.db, found)]


def offers(session: Session) -> list[str]:
    return [step.cmd for step in steps_of(session) if step.cmd.startswith("evo idea")]


def test_the_first_of_the_newest_asking_is_offered_before_a_step_of_evos_own(session: Session) -> None:
    asked(session, idea("old", 1e-5))
    best, _ = asked(session, idea("slower", 2e-5), idea("slower still", 3e-6))
    assert offers(session) == [f"evo ideas take {best}"]
    commands = [step.cmd for step in steps_of(session)]
    assert commands.index(f"evo ideas take {best}") < next(i for i, cmd in enumerate(commands) if "evo new" in cmd)
    (why,) = [step.why for step in steps_of(session) if step.cmd.startswith("evo ideas take")]
    assert "from exp_0000, which expects +0.020: slower; 2 more wait: evo ideas list" in why
    assert [title for _, title in listings.idea_titles(session.db, limit=5)] == ["slower", "slower still", "old"]
    ideas.move(session.db, best, "dropped")
    assert offers(session) == [f"evo ideas take {best + 1}"]


@pytest.mark.parametrize("why", ["no run", "gone parent", "no parent", "other paper", "tried", "taken"])
def test_an_idea_that_makes_no_sense_is_not_offered(session: Session, why: str) -> None:
    paper = Reference("https://arxiv.org/abs/2305.18290", "arxiv", "Another title", "", "mismatch")
    given_up = plant(session.db)
    experiments.move(session.db, given_up, "discarded", reason="no", class_="data")
    more: dict[str, Any] = {
        "no run": {"recipe": "", "patch": {}, "commands": ["evo doctor"]},
        "gone parent": {"parent": given_up},
        "no parent": {"parent": "exp_0099"},
        "other paper": {"references": [paper]},
    }.get(why, {})
    (made,) = asked(session, idea("it", 1e-5, **more))
    if why == "tried":
        assert offers(session) == [f"evo ideas take {made}"]
        known = find_recipe(session.layout, "sft").config
        defaults = {name: spec.default for name, spec in known.params.items()}
        plant(session.db, recipe="sft", params=defaults | {"learning_rate": 1e-5})
    if why == "taken":
        ideas.move(session.db, made, "taken", experiment=given_up)
    assert offers(session) == []


def test_evidence_from_outside_comes_first_before_the_first_experiment_and_when_the_tree_stands_still(
    session: Session,
) -> None:
    """A4 and D2: literature at the start and on a plateau, the tree's own ideas while they still move the score."""
    outside, own = asked(session, idea("read", 1e-5, brief="literature"), idea("own", 2e-5))
    assert offers(session) == [f"evo ideas take {outside}"]
    score(session.db, plant(session.db), right(20))
    assert offers(session) == [f"evo ideas take {own}"]
    for _ in range(3):
        score(session.db, plant(session.db), right(12))
    assert offers(session) == [f"evo ideas take {outside}"]
    for id in (outside, own):
        ideas.move(session.db, id, "dropped")
    assert offers(session) == ["evo ideate"]


def test_next_names_the_stage(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """D2: the current stage is stated, and follows from facts."""
    monkeypatch.chdir(session.layout.root)
    for number, name in ((2, "local diagnosis"), (3, "evidence-guided exploration")):
        stage = next_reply(limit=5).view.stage
        assert (stage.number, stage.name) == (number, name)
        for right_ones in (20, 12, 12, 12):
            score(session.db, plant(session.db), right(right_ones))


def test_what_the_best_has_left_behind_is_offered_no_more(session: Session) -> None:
    """An idea from an experiment far below the best waits; one that may still come up to it is offered."""
    low = plant(session.db)
    score(session.db, low, right(18))
    (old,) = asked(session, idea("old", 1e-5, parent=low, gain=0.005, low=-0.045, high=0.055))
    assert offers(session) == [f"evo ideas take {old}"]
    high = plant(session.db, parent=low)
    score(session.db, high, right(38))
    assert offers(session) == []
    (beside,) = asked(session, idea("beside", 3e-5, parent=low, gain=0.1, low=-0.1, high=0.2, based_on=[high]))
    assert offers(session) == [f"evo ideas take {beside}"]
    ideas.move(session.db, beside, "dropped")
    assert ideas.get(session.db, old).state == "open"
    (bold,) = asked(session, idea("bold", 2e-5, parent=ROOT, gain=0.5, low=-0.1, high=0.6))
    assert offers(session) == [f"evo ideas take {bold}"]
    (why,) = [step.why for step in steps_of(session) if step.cmd.startswith("evo ideas take")]
    assert "from exp_0000, which expects +0.500 [-0.100, +0.600]: bold" in why


def test_where_the_base_is_below_chance_the_first_step_is_not_to_imitate(session: Session) -> None:
    """A17: what is diagnosed of the base comes before a first step of evo's own; later it is one of the warnings."""
    step = "evo new --parent exp_0000 --recipe pretrain -m 'texts that hold what the base does not know'"
    found = Finding("diagnose", "below-chance", "warn", "the base model scores below chance", next=step)
    findings.replace(session.db, "diagnose", [found], experiment=None)

    def is_before_sft() -> bool:
        commands = [each.cmd for each in steps_of(session)]
        return commands.index(step) < next(i for i, cmd in enumerate(commands) if "--recipe sft" in cmd)

    assert not is_before_sft(), "there are no texts"
    (session.layout.data / "corpus").mkdir()
    assert is_before_sft()
    score(session.db, plant(session.db, recipe="sft"), right(20))
    assert not is_before_sft()
