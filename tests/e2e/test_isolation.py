"""Attacks of a training run on what it must not reach: each fails in the sandbox, and succeeds without it.

Issue 4, item 1. One command recipe makes every attempt and writes into its output what it achieved.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from mutants import Change, make_mutant
from proclist import processes_of
from workspaces import evo, make_command_workspace, new

ATTACK = """\
import json, os, pathlib, signal, subprocess, sys, time
root, victim, parent = pathlib.Path(sys.argv[1]), sys.argv[2], 0
sealed = root / ".evo/sealed/heldout.jsonl"
out, got = pathlib.Path(os.environ["EVO_CHECKPOINT_DIR"]), {}

def attempt(name):
    def run(work):
        try:
            got[name] = bool(work())
        except Exception as error:
            got[name] = False
    return run

def reads(path):
    return len(open(path, "rb").read()) > 0

def others():
    return [int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) != os.getpid()]

def through(pid, place):
    try:
        return reads(f"/proc/{pid}/{place}{sealed}")
    except OSError:
        return False

@attempt("held-out by path")
def _(): return reads(sealed)

@attempt("held-out by a link in the worktree")
def _():
    os.symlink(sealed, "shortcut")
    return reads("shortcut")

@attempt("held-out by hard link")
def _():
    os.link(sealed, out / "linked")
    try:
        return reads(out / "linked")
    finally:
        os.unlink(out / "linked")

@attempt("held-out after chmod")
def _():
    os.chmod(sealed.parent, 0o777)
    os.chmod(sealed, 0o666)
    return reads(sealed)

@attempt("held-out by /proc/PID/root")
def _(): return any(through(pid, "root") for pid in others())

@attempt("held-out by /proc/PID/cwd")
def _(): return any(through(pid, "cwd") for pid in others())

@attempt("environment of another process")
def _():
    def told(pid):
        try:
            return b"A_SECRET_OF_THE_CALLER" in open(f"/proc/{pid}/environ", "rb").read()
        except OSError:
            return False
    return any(told(pid) for pid in others())

@attempt("writing evo.db")
def _():
    import sqlite3
    db = sqlite3.connect(f"file:{root}/.evo/evo.db?mode=rw", uri=True, timeout=5)
    db.execute("INSERT OR REPLACE INTO meta (key, value) VALUES ('forged', '1')")
    db.commit()
    return True

@attempt("another attempt's results")
def _(): return reads(root / ".evo/attempts" / victim / "1/eval/results.jsonl")

@attempt("its own evaluation's order")
def _(): return reads(pathlib.Path(os.environ["EVO_JOB"], "eval/job.json"))

@attempt("the gold file")
def _(): return reads(sys.argv[3])

@attempt("signalling a process outside")
def _():
    os.kill(int(sys.argv[4]), signal.SIGUSR1)
    return True

@attempt("signalling the supervisor")
def _():
    supervisor = json.load(open(os.path.join(os.environ["EVO_JOB"], "supervisor.json")))["process"]["pid"]
    line = open(f"/proc/{supervisor}/cmdline").read()
    os.kill(supervisor, 0)
    return "evo.runner.child" in line

got["capabilities"] = int(open("/proc/self/status").read().partition("CapEff:")[2].split()[0], 16) != 0
got["python"] = sys.prefix
(out / "skill.txt").write_text("0.5")
(out / "got.json").write_text(json.dumps(got))
"""


@pytest.fixture(scope="module")
def outsider() -> Any:
    """A process of this user that a signal does not end."""
    line = (
        "import signal, time; signal.signal(signal.SIGUSR1, lambda *_: None); print('up', flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", line], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = make_command_workspace(tmp_path_factory.mktemp("isolation") / "ws", "gate.mode=none", n=60)
    (root.parent / "shared" / "attack.py").write_text(ATTACK)
    victim = new(
        root, """argv=sh -c 'echo 0.5 > "$EVO_CHECKPOINT_DIR/skill.txt"'""", "a victim", "--parent", "exp_0000"
    )
    assert evo("run", victim, cwd=root).code == 0
    return root


def attacked(workspace: Path, outsider: Any, words: str, *, by: Any = evo, **env: str) -> tuple[dict[str, Any], Any]:
    """What each attack came to, and what `evo show` says of the experiment."""
    gold = workspace.parent / f"{workspace.name}-gold.jsonl"
    script = workspace.parent / "shared" / "attack.py"
    line = f"argv=python {script} {workspace} exp_0001 {gold} {outsider.pid}"
    made = new(workspace, line, words, "--parent", "exp_0000", "--seed", str(sum(map(ord, words))))
    ran = by("run", made, cwd=workspace, A_SECRET_OF_THE_CALLER="s", **env)
    assert ran.code == 0, ran.out + ran.err
    log = workspace / ".evo/attempts" / made / "1"
    found = json.loads((log / "output/got.json").read_text())
    with closing(sqlite3.connect(workspace / ".evo/evo.db")) as db:
        found["a row of its own in evo.db"] = db.execute("DELETE FROM meta WHERE key = 'forged'").rowcount == 1
        db.commit()
    (workspace / ".evo/sealed").chmod(0o700)
    (workspace / ".evo/sealed/heldout.jsonl").chmod(0o600)
    return found, evo("show", made, cwd=workspace).data | {"warned": ran.document["warnings"]}


needs_bwrap = pytest.mark.skipif(shutil.which("bwrap") is None, reason="needs bubblewrap")


@needs_bwrap
def test_no_attack_gets_through_bubblewrap(workspace: Path, outsider: Any) -> None:
    """A25, A29; issue 4, item 1: sealed items by path, link, chmod and /proc; the database; signals; other runs."""
    found, shown = attacked(workspace, outsider, "in the sandbox")
    assert {name for name, value in found.items() if value is True} == set()
    assert len(found) == 16
    assert found["python"] != "/usr"
    assert shown["attempts"][0]["isolation"] == "bwrap"
    assert [each for each in shown["findings"] if each["source"] == "isolation"] == []


BARE = Change(
    "runner/sandbox/ladder.py", '    if rung.level == "bwrap":\n        wrapped', "    if rung.why:\n        wrapped"
)
UNTRIED = Change("runner/sandbox/ladder.py", "why = _tried(rung, hidden, env)", 'why = ""')


@needs_bwrap
def test_the_same_attacks_succeed_where_the_sandbox_is_left_out(workspace: Path, outsider: Any, tmp_path: Path) -> None:
    """A mutant that says bubblewrap and starts the bare command, untried: the attacks are real ones."""
    found, shown = attacked(workspace, outsider, "in no sandbox", by=make_mutant(tmp_path, BARE, UNTRIED).evo)
    assert shown["attempts"][0]["isolation"] == "bwrap"
    missed = {name for name, value in found.items() if value is False}
    assert missed <= (set() if os.geteuid() == 0 else {"capabilities", "environment of another process"})


@needs_bwrap
def test_a_sandbox_that_does_not_hold_is_found_out(workspace: Path, tmp_path: Path) -> None:
    """The level is what a canary proved, not what is installed: the same mutant, with the trial on."""
    told = make_mutant(tmp_path, BARE).evo("doctor", cwd=workspace).document["data"]["checks"]
    (row,) = [each for each in told if each["name"] == "isolation"]
    assert not row["found"].startswith("bwrap")
    assert "what is to be hidden can be read all the same" in row["found"]


def test_without_isolation_the_same_attacks_are_told_of(workspace: Path, outsider: Any) -> None:
    """Issue 4: with isolation missing the same tests show the warning instead."""
    found, shown = attacked(workspace, outsider, "with none", EVO_ISOLATION_LEVEL="none")
    assert found["held-out by path"] is True
    assert any(warning.startswith("isolation: none") for warning in shown["warned"])
    assert shown["attempts"][0]["isolation"] == "none"
    (told,) = [each for each in shown["findings"] if each["source"] == "isolation"]
    assert (told["severity"], told["kind"]) == ("warn", "isolation_none")


def test_landlock_alone_keeps_the_files(workspace: Path, outsider: Any) -> None:
    """The second rung: no sealed item, no database, no other run, no signal; only processes are still to be seen."""
    found, shown = attacked(workspace, outsider, "under landlock", EVO_ISOLATION_LEVEL="landlock")
    if shown["attempts"][0]["isolation"] == "none":
        pytest.skip("this kernel has no Landlock")
    got = {name for name, value in found.items() if value is True}
    assert got <= {"its own evaluation's order"}
    assert [each["kind"] for each in shown["findings"] if each["source"] == "isolation"] == ["isolation_landlock"]


@needs_bwrap
def test_a_child_does_not_survive_its_training(workspace: Path) -> None:
    """Issue 4: a surviving child after training. It left its session and wiped its environment."""
    line = f"""argv=sh -c 'setsid env -i sh -c "while :; do date > {workspace.parent}/shared/alive; sleep .05; done" &
    sleep .3; echo 0.5 > $EVO_CHECKPOINT_DIR/skill.txt'"""
    made = new(workspace, line.replace("\n", " "), "leaves a child", "--parent", "exp_0000")
    assert evo("run", made, cwd=workspace).code == 0
    alive = workspace.parent / "shared" / "alive"
    assert alive.exists()
    alive.unlink()
    assert processes_of(workspace, made) == []
    assert not alive.exists()


@needs_bwrap
def test_less_than_required_is_refused_before_it_is_an_attempt(workspace: Path) -> None:
    """`isolation.require`: exit 4, what is missing, and the line that installs it."""
    made = new(workspace, "argv=true", "refused", "--parent", "exp_0000")
    wish = {"EVO_ISOLATION_REQUIRE": "bwrap", "EVO_ISOLATION_LEVEL": "none"}
    refused = evo("run", made, cwd=workspace, **wish)
    assert refused.code == 4
    assert "isolation.require is bwrap" in refused.error["message"]
    assert "apt-get install bubblewrap" in refused.error["hint"]
    assert evo("show", made, cwd=workspace).data["attempts"] == []


@needs_bwrap
def test_the_network_is_open_until_it_is_closed(workspace: Path, outsider: Any) -> None:
    count = "f'0.{len(socket.if_nameindex())}'"
    probe = f"import socket, os; open(os.environ['EVO_CHECKPOINT_DIR'] + '/skill.txt', 'w').write({count})"
    made = new(workspace, f'argv=python -c "{probe}"', "counts interfaces", "--parent", "exp_0000")
    assert evo("run", made, cwd=workspace, EVO_ISOLATION_NETWORK="false").code == 0
    assert (workspace / ".evo/attempts" / made / "1/output/skill.txt").read_text() == "0.1"


def test_listed_paths_never_open_the_seal(workspace: Path) -> None:
    made = new(workspace, "argv=true", "lists the seal", "--parent", "exp_0000")
    for path in (workspace / ".evo/sealed", workspace, "/", workspace / "missing"):
        refused = evo("run", made, cwd=workspace, EVO_ISOLATION_READ=str(path))
        assert refused.code == 2, path
        assert "isolation.read" in refused.error["message"]


def test_no_key_of_the_caller_reaches_a_run(workspace: Path) -> None:
    """A25: the environment of a run is an allow-list; `env.pass` names what else it may see."""
    keys = {f"{name}": "secret" for name in ("HF_TOKEN", "ANTHROPIC_API_KEY", "OPENAI_API_KEY", "AWS_SECRET_ACCESS_KEY",
            "NVIDIA_API_KEY", "GITHUB_TOKEN", "WANDB_API_KEY", "MY_SETTING")}  # fmt: skip
    line = """argv=sh -c 'env > "$EVO_CHECKPOINT_DIR/env"; echo .5 > "$EVO_CHECKPOINT_DIR/skill.txt"'"""
    made = new(workspace, line, "tells its environment", "--parent", "exp_0000")
    assert evo("run", made, cwd=workspace, EVO_ENV_PASS="HF_TOKEN", **keys).code == 0
    seen = (workspace / ".evo/attempts" / made / "1/output/env").read_text()
    assert [name for name in keys if f"{name}=secret" in seen] == ["HF_TOKEN"]


READER = """\
import os, pathlib
open("data/dev.jsonl").read()
pathlib.Path("made").mkdir()
print(open(__file__).read()[:0], pathlib.Path("train.py").exists())
pathlib.Path(os.environ["TMPDIR"], "scratch").write_text("x" * 1000)
pathlib.Path(os.environ["EVO_CHECKPOINT_DIR"], "skill.txt").write_text("0.5")
"""


def test_what_a_run_opened_is_on_record(workspace: Path) -> None:
    """Issue 4, item 2: files that the run opened, where that can be told; what is scratch is gone afterwards."""
    made = evo("new", "--parent", "exp_0000", "--recipe", "command", "--set", "argv=python read.py", "-m", "reads",
               cwd=workspace).data  # fmt: skip
    worktree = Path(made["worktree"])
    (worktree / "read.py").write_text(READER)
    evo("run", made["id"], cwd=workspace)
    folder = workspace / ".evo/attempts" / made["id"] / "1"
    opened = json.loads((folder / "opened.json").read_text())
    assert opened["files"] == [str(worktree / "data/dev.jsonl")]
    isolation = json.loads((folder / "result.json").read_text())["isolation"]
    assert opened["complete"] is (isolation != "none")
    assert not (folder / "tmp").exists()
