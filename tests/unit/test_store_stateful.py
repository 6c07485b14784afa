"""Random lives of a small tree, step by step against a model that knows nothing of SQL."""

from __future__ import annotations

import contextlib
import functools
import sqlite3
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from growing import asked, claimed, ended_well, graded, wish
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule

from evo.domain.attempt import Attempt
from evo.domain.experiment import BARREN, RETURNS, ROOT, is_legal_move
from evo.errors import EvoError
from evo.store import attempts, experiments, fsck, gate_rows, nodes, record
from evo.store import db as database
from evo.store.record import Finished

CAP = 2


@functools.cache
def template() -> sqlite3.Connection:
    """A database with the root, in memory: every life starts from a copy."""
    blank = sqlite3.connect(":memory:")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "evo.db"
        database.create(path)
        with contextlib.closing(database.connect(path)) as db:
            experiments.add_root(db, hypothesis="base", recipe="base", technique="none")
            db.backup(blank)
    return blank


@dataclass
class Node:
    """What the model knows of an experiment. `trail` holds the standings to go back to, the last one first in line."""

    state: str = "pending"
    trail: list[str] = field(default_factory=list)
    has_score: bool = False
    used: int = 0
    live: Attempt | None = None
    was_asked: bool = False
    ran_well: set[str | None] = field(default_factory=set)

    def settle(self, outcome: str) -> None:
        """An attempt ended: the standing that is true underneath moves."""
        below = [self.state, *self.trail]
        inner = below[-1]
        if outcome == "ok":
            below[-1] = "open" if inner in ("pending", "failed") else inner
            self.has_score = True
        elif inner == "pending":
            below[-1] = "failed"
        self.state, *self.trail = below


class Life(RuleBasedStateMachine):
    nodes = Bundle("nodes")

    @initialize(target=nodes)
    def begin(self) -> object:
        self.db = sqlite3.connect(":memory:", isolation_level=None)
        template().backup(self.db)
        self.db.row_factory = sqlite3.Row
        self.db.execute("PRAGMA foreign_keys = ON")
        self.model = {ROOT: Node(state="committed")}
        self.dead: list[Attempt] = []
        ids = ["exp_0001", "exp_0002", "exp_0003"]
        for id, outcome in zip(ids, ("ok", "ok", "trained"), strict=True):
            self.plant(ROOT)
            self.claim(id, "first")
            self.end(id, outcome)
        return multiple(ROOT, *ids)

    def attempt(self, is_legal: bool, what: object) -> bool:
        """Do it: it must work when the model says so, and be refused by an EvoError when not."""
        if is_legal:
            what()  # type: ignore[operator]
        else:
            with pytest.raises(EvoError):
                what()  # type: ignore[operator]
        return is_legal

    @rule(target=nodes, parent=nodes)
    def plant(self, parent: str) -> object:
        id = f"exp_{len(self.model):04d}"
        if self.attempt(
            self.model[parent].state not in BARREN,
            lambda: experiments.add(self.db, wish(parent=parent, fingerprint=id)),
        ):
            self.model[id] = Node()
            return id
        return multiple()

    @rule(id=nodes, content=st.sampled_from(["first", "edited"]))
    def claim(self, id: str, content: str) -> None:
        node = self.model[id]
        is_free = node.live is None and content not in node.ran_well
        is_legal = node.state not in RETURNS and is_free and node.used < CAP
        if self.attempt(is_legal, lambda: claimed(self.db, id, cap=CAP, content_hash=content, is_rerun=False)):
            node.live = attempts.live_of(self.db, id)
            node.used += 1

    @rule(id=nodes, outcome=st.sampled_from(["ok", "ok", "failed", "timed_out", "killed", "trained", "lost"]))
    def end(self, id: str, outcome: str) -> None:
        node = self.model[id]
        attempt = node.live
        if attempt is None:
            return
        if outcome == "lost":
            assert record.lose(self.db, id, attempt.n, reason="host vanished", token=attempt.token)
            node.used -= 1
        elif outcome == "trained":
            is_news = attempts.get(self.db, id, attempt.n).state != "trained"
            assert record.finish(self.db, Finished(id, attempt.n, attempt.token, "trained")) == is_news
            return
        else:
            whole = ended_well(attempt, results=graded((1.0, 0.0, 1.0)))
            bare = Finished(id, attempt.n, attempt.token, "failed")
            assert record.finish(self.db, whole if outcome == "ok" else bare)
            node.settle(outcome)
            node.ran_well |= {attempt.content_hash} if outcome == "ok" else set()
        node.live = None
        self.dead.append(attempt)

    @rule(id=nodes)
    def take_up(self, id: str) -> None:
        node = self.model[id]
        attempt = node.live
        if attempt is None:
            return
        is_owed = attempts.get(self.db, id, attempt.n).state == "trained"
        token = f"{attempt.token}+"
        if self.attempt(is_owed, lambda: attempts.take_up(self.db, id, attempt.n, token=token, controller="c")):
            self.dead.append(attempt)
            node.live = attempts.by_token(self.db, token)

    @rule(pick=st.integers(0, 99))
    def speak_from_the_grave(self, pick: int) -> None:
        """A token that ended, or was replaced, writes nothing."""
        if self.dead:
            attempt = self.dead[pick % len(self.dead)]
            assert not record.finish(self.db, ended_well(attempt, (0.0,)))
            assert not record.lose(self.db, attempt.experiment, attempt.n, reason="late", token=attempt.token)

    @rule(id=nodes, new=st.sampled_from(["discarded", "contaminated"]))
    def give_up(self, id: str, new: str) -> None:
        node = self.model[id]
        former = node.trail[0] if node.trail else None
        is_legal = is_legal_move(node.state, new, former=former)  # type: ignore[arg-type]
        if self.attempt(is_legal, lambda: experiments.move(self.db, id, new)):  # type: ignore[arg-type]
            node.trail = node.trail[1:] if new == former else [node.state, *node.trail]
            node.state = new

    @rule(id=nodes)
    def restore(self, id: str) -> None:
        node = self.model[id]
        if self.attempt(node.state in RETURNS, lambda: experiments.restore(self.db, id, reason="again")):
            node.state, *node.trail = node.trail

    @rule(id=nodes, passed=st.booleans())
    def certify(self, id: str, passed: bool) -> None:
        node = self.model[id]
        is_legal = id != ROOT and node.state in ("open", "committed") and not node.was_asked
        looks: list[object] = []
        if self.attempt(is_legal, lambda: looks.append(asked(self.db, id, limit=1_000))):
            node.was_asked = True
            gate_rows.answer(
                self.db,
                looks[0],
                passed=passed,
                mode="certify",
                isolation="bwrap",
                epoch="e",
                move_to_committed=True,  # type: ignore[arg-type]
            )
            node.state = "committed" if passed else node.state

    @rule(id=nodes)
    def void(self, id: str) -> None:
        standing = gate_rows.certificate_of(self.db, id)
        if self.attempt(standing is not None, lambda: gate_rows.void(self.db, id, reason="retracted")):
            node = self.model[id]
            node.state = "open" if node.state == "committed" else node.state

    @invariant()
    def the_store_agrees_with_the_model(self) -> None:
        rows = {row.id: (row.state, row.former_state, row.score_mean is not None) for row in nodes.light_nodes(self.db)}
        assert rows == {
            id: (node.state, node.trail[0] if node.trail else None, node.has_score) for id, node in self.model.items()
        }
        alive = {attempt.experiment: attempt.token for attempt in attempts.live(self.db)}
        assert alive == {id: node.live.token for id, node in self.model.items() if node.live is not None}

    def teardown(self) -> None:
        if hasattr(self, "db"):
            found = fsck.check(self.db, Path("/nowhere"))
            assert [finding.what for finding in found if finding.severity == "error"] == []
            self.db.close()


TestLife = Life.TestCase
TestLife.settings = settings(
    max_examples=100,
    stateful_step_count=40,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
