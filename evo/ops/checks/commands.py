"""`gate.checks`: commands that must succeed before the held-out question is asked (does it load, does it serve, is it
small enough?).

They run in the workspace's folder, in the evaluator's environment, outside any sandbox, each under a supervisor with a
limit of time; `{model}` is the folder of the weights. Those of evo.yaml hold for every experiment; those that `evo new
--check` was given hold for that experiment and for all that descend from it.
Invariant: a check that fails costs no look; it blocks the experiment until `evo certify` has seen it succeed.
"""

from __future__ import annotations

import secrets
import shlex
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from evo.clock import parse_duration
from evo.domain.finding import Finding
from evo.domain.job import AttemptFolder, Stage
from evo.errors import Refused
from evo.evaluate.backends.command import PYTHONS
from evo.files import sha256_text
from evo.lightdata import replace
from evo.ops.judging.judge import evaluation_only, ordinary
from evo.ops.progress import OnTick, Tick, silent
from evo.ops.runs.launch import weights_folder
from evo.runner import process, records, recover, watch
from evo.runner.executors.local import LocalExecutor
from evo.session import Session
from evo.store import experiments, findings
from evo.store import guards as stored

SOURCE = "checks"
MODEL = "{model}"
TAIL = 8
"""Lines of the log that a finding quotes."""


def commands_of(session: Session, identifier: str) -> list[str]:
    return list(dict.fromkeys([*session.config.gate.checks, *stored.checks_of(session.db, identifier)]))


def forget(session: Session, identifier: str) -> None:
    """Failed checks are tried again: they no longer stand in the way of being asked."""
    if findings.of(session.db, identifier, source=SOURCE):
        findings.replace(session.db, SOURCE, [], experiment=identifier)


def before_question(session: Session, identifier: str, on_tick: OnTick = silent) -> None:
    """Run them all. Refused, with a finding for each that fails."""
    commands = commands_of(session, identifier)
    model = weights_folder(session, experiments.get(session.db, identifier)) if commands else Path()
    failed = []
    for number, command in enumerate(commands, 1):
        beat = lambda seconds, number=number: on_tick(Tick(identifier, number, "checking", seconds))  # noqa: E731
        if (found := run_one(session, identifier, command, model=model, beat=beat)) is not None:
            failed.append(found)
    if failed or findings.of(session.db, identifier, source=SOURCE):
        findings.replace(session.db, SOURCE, failed, experiment=identifier)
    if failed:
        raise Refused(f"{identifier}: {failed[0].message.splitlines()[0]}", hint=failed[0].next)


def run_one(
    session: Session, identifier: str, command: str, *, model: Path, beat: Callable[[float], None]
) -> Finding | None:
    """None where it ended well."""
    folder = AttemptFolder(session.layout.cache / "checks" / sha256_text(f"{identifier} {command}")[:16])
    if folder.root.exists():
        process.sweep(folder.root)
        shutil.rmtree(folder.root)
    folder.root.mkdir(parents=True, mode=0o700)
    words = [word.replace(MODEL, str(model)) for word in shlex.split(command)]
    argv = [sys.executable, *words[1:]] if words[0] in PYTHONS else words
    limit = parse_duration(session.config.gate.checks_timeout, name="gate.checks-timeout")
    env = ordinary(session) | {"EVO_EXPERIMENT_ID": identifier, "EVO_MODEL": str(model)}
    stage = Stage(argv, str(session.layout.root), env, str(folder.eval_log), limit)
    token = secrets.token_hex(16)
    executor = LocalExecutor()
    handle = executor.submit(replace(evaluation_only(session, folder), evaluate=stage), token=token)
    watch.wait(executor, [handle], on_tick=lambda seen: beat(seen[0].state.seconds or 0.0))
    result = recover.inspect(folder.root, token=token, controller=None).result
    if result is not None and result.outcome == "ok":
        return None
    code = result.exit_code if result is not None else None
    how = f"exit code {code}" if code is not None else "a signal, or its limit of time"
    lines = records.tail_lines(str(folder.eval_log), lines=TAIL, limit=2000)
    message = f"the check `{command}` ended with {how}" + (f": {lines[-1]}" if lines else "")
    evidence = {"command": command, "exit_code": code, "log": lines, "file": str(folder.eval_log)}
    return Finding(SOURCE, "failed", "block", message, evidence, f"evo certify {identifier}")
