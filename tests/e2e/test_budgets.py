"""A cap is not exceeded by any path: run, detached, two shells at once, a kill in the middle, LLM calls."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from workspaces import clean_environment, evo, evo_here, make_command_workspace, new, skilled

from evo.errors import BudgetSpent
from evo.files import read_json
from evo.runner import process
from evo.session import open_session
from evo.store import ledger

ENDLESS = "argv=sh -c 'echo 0.5 > $EVO_CHECKPOINT_DIR/skill.txt; sleep 60'"


def at_once(workspace: Path, *commands: str) -> list[tuple[int, dict[str, Any]]]:
    """Exit code and envelope of each command, all started before the first is awaited."""
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "evo", *words.split(), "--json"],
            cwd=workspace, env=clean_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for words in commands
    ]  # fmt: skip
    answers = []
    for one in started:
        out, _ = one.communicate(timeout=120)
        answers.append((one.returncode, json.loads(out)))
    return answers


def spent(workspace: Path) -> dict[str, float]:
    with contextlib.closing(sqlite3.connect(workspace / ".evo" / "evo.db")) as db:
        db.row_factory = sqlite3.Row
        return ledger.balance(db).spent._asdict()


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = make_command_workspace(tmp_path / "ws", "gate.mode=none", "run.slots=4", n=60)
    assert evo_here("run exp_0000", cwd=folder).code == 0
    return folder


def cap(workspace: Path, key: str, value: float) -> None:
    assert evo_here(f"config set budget.{key} {value}", cwd=workspace).code == 0


def test_two_shells_cannot_both_take_the_last_attempt(workspace: Path) -> None:
    """Three attempts are three, whoever asks and however; every reply says what is left."""
    cap(workspace, "attempts", 3)
    for number in range(5):
        new(workspace, skilled(f"0.{number + 3}"), f"try {number}", "--parent", "exp_0000")
    assert evo_here("run exp_0001 --json", cwd=workspace).document["budget"]["attempts"]["left"] == 2
    answers = at_once(workspace, *(f"run exp_000{n} --detach" for n in (2, 3, 4, 5)))
    assert sorted(code for code, _ in answers) == [0, 0, 8, 8]
    refused = [reply for code, reply in answers if code == 8]
    assert all(reply["error"]["code"] == "budget" and reply["budget"]["attempts"]["left"] == 0 for reply in refused)
    assert evo_here("wait", cwd=workspace).code == 0
    assert spent(workspace)["attempts"] == 3
    assert evo_here("run --next --dry-run --json", cwd=workspace).code == 8
    steps = [step["cmd"] for step in evo_here("next --json", cwd=workspace).data["steps"]]
    assert "evo budget" in steps
    assert not any(step.startswith(("evo run", "evo new")) for step in steps)


def test_run_time_is_cut_to_what_is_left(workspace: Path) -> None:
    """Two that would take a minute each, at once, detached and not: together they stay below the cap."""
    cap(workspace, "wall-clock", round(spent(workspace)["wall_seconds"] + 3, 3))
    for number in range(2):
        new(workspace, ENDLESS, f"slow {number}", "--parent", "exp_0000")
    began = time.monotonic()
    answers = at_once(workspace, "run exp_0001 --timeout 1s --detach", "run exp_0002")
    assert evo_here("wait", cwd=workspace).code == 0
    assert time.monotonic() - began < 30
    assert {code for code, _ in answers} <= {0, 6, 7, 8}
    limit = evo_here("config get budget.wall-clock --json", cwd=workspace).data["value"]
    assert spent(workspace)["wall_seconds"] <= float(limit)
    for n in (1, 2):
        job = workspace / ".evo" / "attempts" / f"exp_000{n}" / "1" / "job.json"
        if job.exists():
            assert 0 < read_json(job)["most_s"] < 3


def test_gpu_seconds_are_held_and_a_kill_gives_nothing_back(workspace: Path) -> None:
    """The controller is killed in the middle: what it can have used is charged, and the cap still holds."""
    recipe = workspace / "recipes" / "gpu"
    recipe.mkdir(parents=True)
    (recipe / "recipe.yaml").write_text(
        "name: gpu\ntechnique: gpu\nresources: {gpus: 1}\nparams:\n  argv: {type: str, default: sleep 60}\n"
    )
    cap(workspace, "gpu-seconds", 4)
    gpu = {"CUDA_VISIBLE_DEVICES": "0", "EVO_RUN_GRACE_S": "0.2"}
    for number in range(3):
        evo_here(f"new --parent exp_0000 --recipe gpu -m gpu{number}", cwd=workspace)
    running = subprocess.Popen(
        [sys.executable, "-m", "evo", "run", "exp_0001"],
        cwd=workspace, env=clean_environment(**gpu), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 30
    while not (workspace / ".evo/attempts/exp_0001/1/train.log").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    running.kill()
    running.wait()
    evo("wait", "exp_0001", "--timeout", "30", cwd=workspace)
    after_kill = spent(workspace)["gpu_seconds"]
    assert after_kill > 0
    assert evo("run", "exp_0002", cwd=workspace, **gpu).code in (7, 8)
    assert evo("run", "exp_0003", cwd=workspace, **gpu).code in (7, 8)
    assert after_kill < spent(workspace)["gpu_seconds"] <= 4
    assert evo("budget", cwd=workspace).document["budget"]["gpu_seconds"]["cap"] == 4


def test_tokens_and_dollars_are_reserved_before_they_are_spent(db: sqlite3.Connection) -> None:
    """1,000 tokens or one dollar: the call that would pass it is not made, and a charge is made once."""
    caps = ledger.Caps(llm_tokens=1000, usd=1.0)
    reserve = partial(ledger.reserve, db, "ideate", caps=caps, process=vars(process.current()))
    first = reserve(ledger.Amounts(llm_tokens=900, usd=0.5))
    with pytest.raises(BudgetSpent, match="900 reserved"):
        reserve(ledger.Amounts(llm_tokens=200))
    ledger.charge(db, first, ledger.Amounts(llm_tokens=300, usd=0.9))
    reserve(ledger.Amounts(llm_tokens=700, usd=0.1))
    with pytest.raises(BudgetSpent, match="US dollars"):
        reserve(ledger.Amounts(usd=0.01))
    with pytest.raises(Exception, match="was charged"):
        ledger.charge(db, first, ledger.Amounts())
    with pytest.raises(sqlite3.IntegrityError, match="charged once"):
        db.execute("UPDATE ledger SET llm_tokens = 0 WHERE id = ?", (first,))
    assert ledger.balance(db).left(caps) == {"llm_tokens": 0.0, "usd": pytest.approx(0.0)}


def backdate(db: sqlite3.Connection, seconds: float) -> None:
    """As if all reservations had been made so long ago."""
    db.execute("DROP TRIGGER ledger_is_charged_once")
    earlier = (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat(timespec="milliseconds")
    db.execute("UPDATE ledger SET created_at = ?", (earlier,))


@pytest.mark.parametrize("is_gone", [True, False, None], ids=["gone", "at work", "on another machine"])
@pytest.mark.parametrize("is_asked", [True, False], ids=["asked", "not asked"])
def test_what_a_dead_process_reserved_is_charged_with_what_it_may_have_cost(
    db: sqlite3.Connection, is_gone: bool | None, is_asked: bool
) -> None:
    """All of a call that had left, nothing of one that had not; of run time what has passed. The living keep theirs."""
    holder = vars(process.current())
    call = ledger.reserve(db, "ideate", ledger.Amounts(llm_tokens=900, usd=0.5), caps=ledger.Caps(), process=holder)
    if is_asked:
        ledger.ask(db, call)
    ledger.reserve_time(db, "evaluation", ledger.Wish(ledger.Caps(wall_seconds=1000)), process=holder)
    backdate(db, 500)
    found = ledger.charge_orphans(db, lambda _: is_gone)
    now = ledger.balance(db)
    if not is_gone:
        assert (found, now.spent, now.reserved.llm_tokens) == ([], ledger.Amounts(), 900)
        return
    assert (now.spent.llm_tokens, now.spent.usd) == ((900, 0.5) if is_asked else (0, 0.0))
    assert now.spent.wall_seconds == pytest.approx(500, abs=20)
    assert now.reserved == ledger.Amounts()
    assert [orphan.what for orphan in found] == ["ideate", "evaluation"]


def test_what_nobody_can_look_for_is_charged_a_day_after_it_should_have_ended(db: sqlite3.Connection) -> None:
    holder = vars(process.current())
    call = ledger.reserve(db, "ideate", ledger.Amounts(llm_tokens=900), caps=ledger.Caps(), process=holder)
    ledger.ask(db, call)
    backdate(db, ledger.FORGOTTEN_S + 60)
    assert ledger.charge_orphans(db, lambda _: False) == []
    assert ledger.charge_orphans(db, lambda _: None)[0].came_to.llm_tokens == 900


def test_what_a_dead_process_held_back_holds_up_no_run(workspace: Path) -> None:
    """A rescore that was killed: the next run charges the time since, and has the rest."""
    new(workspace, skilled(0.5), "half", "--parent", "exp_0000")
    cap(workspace, "wall-clock", round(spent(workspace)["wall_seconds"] + 60, 3))
    ended = subprocess.Popen(["sleep", "60"])
    holder = vars(process.identify(ended.pid))
    with open_session(workspace) as session:
        ledger.reserve_time(session.db, "evaluation on dev", ledger.Wish(session.caps or ledger.Caps()), process=holder)
    assert evo("run", "exp_0001", cwd=workspace).code == 8
    ended.kill()
    ended.wait()
    assert evo("run", "exp_0001", cwd=workspace).code == 0


def test_without_a_cap_nothing_is_said(workspace: Path) -> None:
    assert "budget" not in evo_here("status --json", cwd=workspace).document
    forecast = evo_here("budget --recipe base --json", cwd=workspace).data["forecasts"]
    assert forecast[0]["fits"]


def test_every_reply_about_the_tree_says_what_is_left(workspace: Path) -> None:
    """Readings, writers, rehearsals and refusals alike: a driver never has to ask."""
    cap(workspace, "attempts", 3)
    new(workspace, skilled(0.5), "half", "--parent", "exp_0000")
    for line in (
        *("status", "tree", "show exp_0001", "frontier", "next", "brief", "budget", "diff exp_0001", "diagnose"),
        *("log exp_0000", "failures exp_0000", "path exp_0001", "discards", "notes", "note exp_0001 x", "fsck"),
        *("run exp_0001 --dry-run", "certify exp_0001", "sync", "show exp_0099", "direct hello", "ack"),
        "discard exp_0001 --reason no",
    ):
        said = evo_here(f"{line} --json", cwd=workspace).document
        assert said.get("budget", {}).get("attempts") == {"cap": 3, "spent": 0, "reserved": 0, "left": 3}, line


def test_a_loop_of_two_workers_ends_where_the_cap_is(workspace: Path) -> None:
    """The loop ends with exit 8 when they are spent, and begins nothing when it is called again."""
    cap(workspace, "attempts", 2)
    page = workspace / "recipes" / "page"
    page.mkdir(parents=True)
    (page / "recipe.yaml").write_text(
        "name: page\ntechnique: page\nparams:\n  skill: {type: float, default: 0.5, min: 0.1, max: 1, doc: how good}\n"
    )
    (page / "train.py").write_text(
        "import evo.recipe\n"
        "run = evo.recipe.current()\n"
        "(run.output_dir / 'skill.txt').write_text(str(run.params['skill']))\n"
        "run.finish(run.output_dir)\n"
    )
    assert evo_here("config set run.smoke never", cwd=workspace).code == 0
    for _ in range(2):
        ended = evo("loop", "--experiments", "5", "--workers", "2", "--recipes", "page", cwd=workspace)
        assert (ended.code, ended.error["code"]) == (8, "budget"), ended.out
        assert ended.document["budget"]["attempts"] == {"cap": 2, "spent": 2, "reserved": 0, "left": 0}
