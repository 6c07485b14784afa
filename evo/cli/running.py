"""What `evo run` does once its words are read; apart from the parser, which a plain `evo run EXP` need not build.

The reply's parts are imported while the run is under way.
"""

from __future__ import annotations

from importlib import import_module

from evo.cli.progress import progress
from evo.domain.views import Hint, Reply
from evo.ops.progress import OnTick, Tick
from evo.ops.runs import run as ops
from evo.session import Session, open_session
from evo.store import experiments

REPLYING = ("evo.report.show", "evo.cli.render.experiment")


def run_reply(request: ops.RunRequest, *, json_lines: bool = False) -> Reply:
    with open_session() as session:
        return run_in(session, request, json_lines=json_lines)


def run_in(session: Session, request: ops.RunRequest, *, json_lines: bool = False) -> Reply:
    with progress(json_lines=json_lines) as on_tick:
        foretold = forecast(session, request)
        outcome = ops.run(session, request, Meanwhile(on_tick))
        reply: Reply = import_module("evo.report.show").reply(
            session,
            outcome.experiment,
            message=outcome.message,
            failure=outcome.failure,
            warnings=(*foretold, *outcome.warnings),
        )
        return reply


class Meanwhile:
    """Ticks passed on; the first one, when there is nothing else to do, brings what the reply will take (4 ms)."""

    def __init__(self, on_tick: OnTick) -> None:
        self._on_tick = on_tick
        self._is_first = True

    def __call__(self, tick: Tick) -> None:
        if self._is_first:
            self._is_first = False
            for name in REPLYING:
                import_module(name)
        self._on_tick(tick)


def forecast(session: Session, request: ops.RunRequest) -> tuple[str, ...]:
    """A warning where the budget leaves less than runs of this recipe took; nothing where nothing is capped."""
    if session.caps is None or request.experiment is None:
        return ()
    recipe = experiments.get(session.db, request.experiment).recipe
    told = import_module("evo.report.budget").short_of(session, recipe)
    return (told,) if told else ()


def smoke_reply(request: ops.RunRequest, *, json_lines: bool = False) -> Reply:
    smoke = import_module("evo.ops.runs.smoke")  # brings what only a trial needs
    with open_session() as session, progress(json_lines=json_lines) as on_tick:
        view = smoke.on_demand(session, request, on_tick)
    if view.passed:
        return Reply(view, (Hint(f"evo run {view.id}", "the full run"),))
    return Reply(view, failure=smoke.failure_of(view))


def rehearsal_reply(request: ops.RunRequest) -> Reply:
    """What the run would do, or what it would be refused with."""
    rehearse, dry = import_module("evo.ops.rehearse"), import_module("evo.cli.dry")
    with dry.opened(True) as session:
        name, would = rehearse.run(session, request)
    reply: Reply = dry.rehearsed(f"evo run {name}", would, facts={"id": name})
    return reply
