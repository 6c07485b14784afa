"""From a workspace to the state that the screen shows.

Invariant: nothing is written; the tree is read anew only when the event log has grown, so that looking eight times a
second costs next to nothing. Scores of another epoch are not shown beside those of this one.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from evo.cli.live.palette import short_rate
from evo.cli.live.state import Curve, LiveState, Node, Work
from evo.domain.experiment import Experiment
from evo.domain.views import RunningView
from evo.report.live import live
from evo.runner.metrics import MetricsTail
from evo.session import Session
from evo.store import attempts, events, experiments, gate_rows

METRICS = ("loss", "reward")
RATES = ("learning_rate", "lr")
MOST_POINTS = 2000
"""Of a longer curve every second point is dropped, again and again."""


class LiveReader:
    """Call `read` again and again, always from one thread: the one that opened the session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._seen = -1
        self._nodes: tuple[Node, ...] = ()
        self._totals: dict[str, int] = {}
        self._looks = 0
        self._curve = CurveReader(session)

    def read(self, *, elapsed_s: float, message: str = "", aside: Work | None = None) -> LiveState:
        """The state of this moment. `aside`: work that leaves no attempt behind, such as opening the vault."""
        session, now = self._session, live(self._session)
        self._refresh()
        work = [Work(view.id, view.stage, view.seconds) for view in now.running]
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
            curve=self._curve.read(now.running, self._totals),
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
        self._totals = {row.id: steps for row in rows if (steps := steps_to_do(row.params)) is not None}
        self._looks = gate_rows.looks_used(self._session.db, self._session.heldout_hash)

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


class CurveReader:
    """The curve of the attempt that trains now; until that has a point, the one of the attempt before."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._attempt: tuple[str, int] | None = None
        self._tail: MetricsTail | None = None
        self._points: list[tuple[float, float]] = []
        self._last: Mapping[str, object] = {}
        self._began = ""
        self._curve: Curve | None = None

    def read(self, running: list[RunningView], totals: Mapping[str, int]) -> Curve | None:
        """`totals`: steps to do, by experiment."""
        if running and (running[-1].id, running[-1].attempt) != self._attempt:
            self._follow(running[-1].id, running[-1].attempt)
        if self._tail is not None and self._attempt is not None:
            rows = self._tail.read()
            for row in rows:
                self._add(row)
            if rows and self._points:
                self._curve = self._drawn(self._attempt[0], totals)
        if self._curve is None:
            return None
        stages = {(view.id, view.attempt): view.stage for view in running}
        is_live = bool(self._points) and stages.get(self._attempt or ("", 0)) == "training"
        return replace(self._curve, is_live=is_live)

    def _follow(self, experiment: str, n: int) -> None:
        self._attempt = (experiment, n)
        self._tail = MetricsTail(self._session.layout.attempt(experiment, n).metrics)
        self._points, self._last, self._began = [], {}, ""

    def _add(self, row: Mapping[str, object]) -> None:
        step, value = finite(row.get("step")), finite(row.get(metric_of(row)))
        if step is None or value is None:
            return
        self._points.append((step, value))
        self._last, self._began = row, self._began or str(row.get("at", ""))
        if len(self._points) > MOST_POINTS:
            del self._points[1:-1:2]

    def _drawn(self, experiment: str, totals: Mapping[str, int]) -> Curve:
        steps, values = zip(*self._points, strict=True)
        return Curve(
            experiment=experiment,
            name=metric_of(self._last),
            steps=steps,
            values=values,
            learning_rate=next((rate for key in RATES if (rate := finite(self._last.get(key))) is not None), None),
            total=totals.get(experiment),
            seconds=seconds_between(self._began, str(self._last.get("at", ""))),
        )


def metric_of(row: Mapping[str, object]) -> str:
    """What is drawn of a row: its loss, or its reward where it has no loss."""
    return next((name for name in METRICS if finite(row.get(name)) is not None), METRICS[0])


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


def steps_to_do(params: Mapping[str, object]) -> int | None:
    steps = params.get("max_steps")
    return steps if isinstance(steps, int) and not isinstance(steps, bool) and steps > 0 else None


def one_line(text: str) -> str:
    """Text that a terminal shows as one line and takes for nothing else."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())


def finite(value: object) -> float | None:
    """A number as float; None for anything else, NaN and the infinities."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value)
