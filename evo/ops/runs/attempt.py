"""One attempt, from its claim to what came of it.

Invariant: until its supervisor has shown itself or its end was seen, no other thread of this process takes it for lost.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib import import_module

from evo.ops.judging.judge import Judge
from evo.ops.progress import OnTick, Tick
from evo.ops.runs.collect import Collected, collect
from evo.ops.runs.launch import RunOptions, Work, submit
from evo.runner import recover, watch
from evo.runner.executors.base import Executor
from evo.session import Session

AFTERWARDS = ("evo.ops.checks.diagnose", "evo.ops.judging.gating")
"""Imported while a run is under way and there is nothing else to do (6 ms)."""


def attempt_once(
    session: Session, work: Work, judge: Judge, *, executor: Executor, options: RunOptions, on_tick: OnTick
) -> Collected | None:
    """Submit, wait, take in. None when detached."""
    token = os.urandom(16).hex()
    with recover.starting(token):
        submitted = submit(session, work, judge, executor=executor, options=options, token=token)
        if options.detach:
            return None
        attempt = submitted.attempt

        def pass_on(seen: Sequence[watch.Progress]) -> None:
            state = seen[0].state
            latest = dict(seen[0].latest or {})
            at = (attempt.experiment, attempt.n, state.stage, state.seconds or 0.0)
            on_tick(Tick(*at, latest, state.heartbeat_age_s, str(submitted.folder.root)))

        import_module("evo.beliefs").foresee(session, attempt.experiment)
        for name in AFTERWARDS:
            import_module(name)
        watch.wait(executor, [submitted.handle], on_tick=pass_on)
    return collect(session, attempt)
