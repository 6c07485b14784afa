"""From a workspace to the state that the screen shows.

Invariant: nothing is written; the tree is read anew only when the event log has grown, so that looking eight times a
second costs next to nothing. Scores of another epoch are not shown beside those of this one.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from evo.cli.live.palette import short_rate
from evo.cli.live.state import Curve, LiveState, Node, Work
from evo.domain.experiment import Experiment
from evo.domain.run_views import VitalsView
from evo.domain.views import RunningView
from evo.report.live import live
from evo.runner.metrics import MetricsTail
from evo.runner.vitals import finite, read_vitals
from evo.session import Session
from evo.store import attempts, events, experiments, gate_rows

METRICS = ("reward", "loss")
"""What is drawn: a policy's loss says nothing, so a reward comes first."""
RATES = ("learning_rate", "lr")
TURN_S = 6.0
"""Where several train, each is drawn for so long."""
MOST_POINTS = 2000
"""Of a longer curve every second point is dropped, again and again."""


class LiveReader:
    """Call `read` again and again, always from one thread: the one that opened the session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._seen = -1
        self._nodes: tuple[Node, ...] = ()
        self._looks = 0
        self._curves = Curves(session)

    def read(self, *, elapsed_s: float, message: str = "", aside: Work | None = None) -> LiveState:
        """The state of this moment. `aside`: work that leaves no attempt behind, such as opening the vault."""
        session, now = self._session, live(self._session)
        self._refresh()
        work = [self._work(view) for view in now.running]
        if aside is not None and all(aside.experiment != other.experiment for other in work):
            work.append(aside)
        metric = session.metric
        return LiveState(
            name=one_line(session.config.name or session.layout.root.name),
            nodes=self._nodes,
            looks_used=self._looks,
            looks_limit=session.config.gate.looks,
            elapsed_s=elapsed_s,
            work=tuple(work),
            curve=self._curves.read(now.running, {each.experiment: each for each in work}, elapsed_s=elapsed_s),
            is_min=metric.direction == "min",
            low=metric.low,
            high=metric.high,
            message=one_line(message),
        )

    def _refresh(self) -> None:
        newest = newest_event(self._session.db)
        if newest == self._seen:
            return
        self._seen = newest
        rows = list(experiments.all(self._session.db))
        epoch = self._session.epoch
        scores = {row.id: row.score_mean for row in rows if row.epoch == epoch}
        self._nodes = tuple(self._node(row, scores) for row in rows)
        self._looks = gate_rows.looks_used(self._session.db, self._session.heldout_hash)

    def _work(self, view: RunningView) -> Work:
        folder = self._session.layout.attempt(view.id, view.attempt)
        return Work(view.id, view.stage, view.seconds, read_vitals(folder))

    def _node(self, row: Experiment, scores: Mapping[str, float | None]) -> Node:
        score, before = scores.get(row.id), scores.get(row.parent or "")
        failure = ""
        if row.state == "failed":
            failure = next((a.failure for a in reversed(attempts.of(self._session.db, row.id)) if a.failure), "")
        return Node(
            id=row.id,
            parent=row.parent,
            state=row.state,
            technique=technique_words(row.technique, row.params),
            hypothesis=one_line(row.hypothesis),
            score=score,
            se=row.score_se if score is not None else None,
            delta=score - before if score is not None and before is not None else None,
            is_certified=row.state == "committed" and row.parent is not None,
            failure=failure,
        )


class Curves:
    """The curve of the attempt that trains now, each in turn where there are several; until one has a point, the one
    that was drawn last."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._readers: dict[tuple[str, int], CurveReader] = {}
        self._last: Curve | None = None

    def read(self, running: list[RunningView], work: Mapping[str, Work], *, elapsed_s: float) -> Curve | None:
        stages = {(view.id, view.attempt): view.stage for view in running}
        for attempt in stages:
            if attempt not in self._readers:
                self._readers[attempt] = CurveReader(self._session.layout.attempt(*attempt).metrics)
        for gone in [attempt for attempt in self._readers if attempt not in stages]:
            self._last = self._drawn(gone, self._last, work) if self._is_shown(gone) else self._last
            del self._readers[gone]
        turn = self._turn(stages, elapsed_s)
        if turn is not None:
            self._last = self._drawn(turn, self._last, work)
        if self._last is None:
            return None
        is_live = turn is not None and self._is_shown(turn) and stages[turn] == "training"
        return replace(self._last, is_live=is_live)

    def _turn(self, stages: Mapping[tuple[str, int], str], elapsed_s: float) -> tuple[str, int] | None:
        """Whose turn it is: those that train come first, and the newest of them begins."""
        training = [attempt for attempt, stage in stages.items() if stage == "training"] or list(stages)
        return training[-1 - int(elapsed_s / TURN_S) % len(training)] if training else None

    def _is_shown(self, attempt: tuple[str, int]) -> bool:
        return self._last is not None and self._last.experiment == attempt[0] and self._readers[attempt].has_points

    def _drawn(self, attempt: tuple[str, int], last: Curve | None, work: Mapping[str, Work]) -> Curve | None:
        """The curve of `attempt` as far as it has come; `last` while it has no point."""
        reader = self._readers[attempt]
        reader.take()
        if not reader.has_points:
            return last
        found = work.get(attempt[0])
        return reader.curve(attempt[0], found.vitals if found is not None else None, last)


class CurveReader:
    """The points that one attempt has logged."""

    def __init__(self, path: Path) -> None:
        self._tail = MetricsTail(path)
        self._points: list[tuple[float, float]] = []
        self._last: Mapping[str, object] = {}
        self._began = ""

    @property
    def has_points(self) -> bool:
        return bool(self._points)

    def take(self) -> None:
        """The rows that have come since."""
        for row in self._tail.read():
            step, value = finite(row.get("step")), finite(row.get(metric_of(row)))
            if step is None or value is None:
                continue
            self._points.append((step, value))
            self._last, self._began = row, self._began or str(row.get("at", ""))
            if len(self._points) > MOST_POINTS:
                del self._points[1:-1:2]

    def curve(self, experiment: str, vitals: VitalsView | None, last: Curve | None) -> Curve:
        """`vitals` of the run, while it is at work; afterwards what `last` knew of it stands."""
        steps, values = zip(*self._points, strict=True)
        known = last if last is not None and last.experiment == experiment else None
        mids = tuple((mid.step, mid.mean) for mid in vitals.mids) if vitals else known.mids if known else ()
        return Curve(
            experiment=experiment,
            name=metric_of(self._last),
            steps=steps,
            values=values,
            learning_rate=next((rate for key in RATES if (rate := finite(self._last.get(key))) is not None), None),
            total=vitals.total if vitals else known.total if known else None,
            seconds=seconds_between(self._began, str(self._last.get("at", ""))),
            mids=mids,
        )


def metric_of(row: Mapping[str, object]) -> str:
    """What is drawn of a row: its reward, or its loss where it has none."""
    return next((name for name in METRICS if finite(row.get(name)) is not None), "loss")


def seconds_between(first: str, last: str) -> float | None:
    try:
        return (datetime.fromisoformat(last) - datetime.fromisoformat(first)).total_seconds()
    except ValueError:
        return None


def newest_event(db: sqlite3.Connection) -> int:
    last = events.latest(db, limit=1)
    return last[0].id if last else 0


def technique_words(technique: str, params: Mapping[str, object]) -> str:
    """`sft lora 5e-3`: the technique, its method and its learning rate, where it has them."""
    words = [technique]
    if isinstance(params.get("method"), str):
        words.append(str(params["method"]))
    rate = finite(params.get("learning_rate"))
    return one_line(" ".join([*words, short_rate(rate)] if rate is not None else words))


def one_line(text: str) -> str:
    """Text that a terminal shows as one line and takes for nothing else."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
