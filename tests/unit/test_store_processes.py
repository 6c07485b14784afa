"""Many processes at one database, some of them killed: real processes, real files, real `kill -9`."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from growing import EPOCH, planted, wish

from evo.domain.experiment import ROOT
from evo.store import attempts, events, experiments, fsck, nodes, record
from evo.store import db as database

TESTS = Path(__file__).parents[1]
PRELUDE = """
import sys, time
from pathlib import Path
from growing import *
from evo.errors import Busy
from evo.store import db as database, experiments, attempts, record
path, me = Path(sys.argv[1]), int(sys.argv[2])
while not Path(sys.argv[3]).exists():
    time.sleep(.001)
db = database.connect(path)
"""
ADD = """
for n in range(20):
    wanted = wish(fingerprint=f"mine {me} {n}") if n % 2 else wish(fingerprint=f"everybody's {n}", key=f"key {n}")
    print(experiments.add(db, wanted)[0].id, *experiments.add(db, wanted))
"""
CLAIM = """
for number in range(1, 21):
    try:
        claimed(db, f"exp_{number:04d}", token=f"{me} {number}", is_rerun=False)
        print(number)
    except Busy:
        pass
"""
FINISH = """
for number in range(1, 10_000):
    id = experiments.add(db, wish(fingerprint=f"{me} {number}"))[0].id
    attempt = claimed(db, id, token=f"{me} {number}")
    assert record.finish(db, ended_well(attempt, (1.0, 0.0) * 50))
    print(id, flush=True)
"""


Crew = list[subprocess.Popen[str]]


@pytest.fixture
def started(store_path: Path) -> Iterator[Callable[[str, range], Crew]]:
    """Starts a process for each number; all wait for the file `go` beside the database. None outlives the test."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent)])}
    everyone: Crew = []

    def start(script: str, numbers: range) -> Crew:
        command = [sys.executable, "-W", "error", "-c", PRELUDE + script, str(store_path)]
        places = [[*command, str(me), str(store_path.with_name("go"))] for me in numbers]
        crew = [subprocess.Popen(place, stdout=subprocess.PIPE, text=True, env=environment) for place in places]
        everyone.extend(crew)
        return crew

    yield start
    for worker in everyone:
        with worker:
            worker.kill()


def said(crew: Crew) -> list[list[str]]:
    told = [worker.communicate(timeout=120)[0].splitlines() for worker in crew]
    assert [worker.returncode for worker in crew] == [0] * len(crew)
    return told


def errors(db: sqlite3.Connection, root: Path) -> list[str]:
    return [finding.what for finding in fsck.check(db, root) if finding.severity == "error"]


def test_eight_processes_add_at_once_and_nothing_is_lost(
    store_path: Path, started: Callable[[str, range], Crew]
) -> None:
    """§13: `evo new` from 8 processes, none lost. Ten wishes each of their own, ten that all of them share."""
    crew = started(ADD, range(8))
    store_path.with_name("go").touch()
    lines = [line for told in said(crew) for line in told]
    assert len(lines) == 160
    with contextlib.closing(database.connect(store_path)) as db:
        everyone = [row.id for row in nodes.light_nodes(db)]
        assert len(everyone) == 1 + 8 * 10 + 10
        assert set(everyone) - {ROOT} == {line.split()[0] for line in lines}
        created = Counter(event.experiment for event in events.read(db, limit=1_000) if event.kind == "created")
        assert set(created.values()) == {1}
        assert errors(db, store_path.parent) == []


def test_of_eight_that_claim_at_once_one_gets_it(store_path: Path, started: Callable[[str, range], Crew]) -> None:
    """§12: two simultaneous runs of one node both starting. Twenty nodes, eight processes, one winner each."""
    with contextlib.closing(database.connect(store_path)) as db:
        for _ in range(20):
            planted(db)
        crew = started(CLAIM, range(8))
        store_path.with_name("go").touch()
        winners = Counter(line for told in said(crew) for line in told)
        assert winners == {str(number): 1 for number in range(1, 21)}
        assert [attempt.n for attempt in attempts.live(db)] == [1] * 20
        assert len({attempt.experiment for attempt in attempts.live(db)}) == 20


def test_killed_at_any_moment_nothing_finished_is_lost_or_half_there(
    store_path: Path, started: Callable[[str, range], Crew]
) -> None:
    """§12: a finished score lost to a lock or a kill. Two writers, killed at random; all is consistent, and goes on."""
    rng = random.Random(7)
    store_path.with_name("go").touch()
    for turn in range(8):
        crew = started(FINISH, range(2 * turn, 2 * turn + 2))
        firsts = [worker.stdout.readline().strip() if worker.stdout else "" for worker in crew]
        time.sleep(rng.uniform(0.0, 0.12))
        for worker in crew:
            worker.send_signal(signal.SIGKILL)
        finished = firsts + [line for worker in crew for line in worker.communicate()[0].splitlines()]
        with contextlib.closing(database.connect(store_path)) as db:
            assert errors(db, store_path.parent) == []
            whole = {row.id for row in nodes.light_nodes(db) if row.score_mean == 0.5 and row.epoch == EPOCH}
            assert set(finished) <= whole
            for attempt in attempts.live(db):
                assert record.lose(db, attempt.experiment, attempt.n, reason="controller vanished")
            for row in nodes.light_nodes(db):
                assert (row.id in whole) == (row.state == "open") or row.id == ROOT
    with contextlib.closing(database.connect(store_path, readonly=True)) as db:
        assert nodes.counts(db)["open"] >= 16


def _can_inject() -> bool:
    if shutil.which("strace") is None:
        return False
    probe = ["strace", "-f", "-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO:when=1", "true"]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0


@pytest.mark.slow
@pytest.mark.skipif(not _can_inject(), reason="needs strace and the right to trace")
@pytest.mark.parametrize("fault", ["error=EIO", "signal=KILL", "error=ENOSPC"])
def test_a_disk_that_fails_at_the_nth_sync_leaves_all_or_nothing(store_path: Path, fault: str) -> None:
    """FACTS: after a commit error the row may be durable although the commit raised; the token tells."""
    script = PRELUDE + "record.finish(db, ended_well(attempts.by_token(db, sys.argv[4]), (1.0, 0.0)))"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent)])}
    outcomes = set()
    for n in range(1, 6):
        with contextlib.closing(database.connect(store_path)) as db:
            id = experiments.add(db, wish())[0].id
            token = f"{fault} {n}"
            attempts.claim(
                db, id, seed=0, cap=3, token=token, executor="local", controller="c", is_detached=False, commit=None,
                content_hash=None,
            )  # fmt: skip
        store_path.with_name("go").touch()
        command = [sys.executable, "-c", script, str(store_path), "0", str(store_path.with_name("go")), token]
        trace = ["strace", "-f", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", f"inject=fdatasync:{fault}:when={n}"]
        ran = subprocess.run([*trace, *command], env=environment, capture_output=True, text=True, check=False)
        with contextlib.closing(database.connect(store_path)) as db:
            assert errors(db, store_path.parent) == []
            is_there = record.was_recorded(db, token)
            assert is_there == (experiments.get(db, id).score_mean == 0.5)
            assert is_there or ran.returncode != 0
            outcomes.add(ran.returncode != 0)
            if not is_there:
                record.lose(db, id, 1, reason="the disk failed")
    assert True in outcomes
