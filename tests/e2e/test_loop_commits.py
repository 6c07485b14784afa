"""The commit of an iteration: one each, whoever is at the repository and whatever was killed."""

from __future__ import annotations

import sqlite3
import subprocess
import time
from pathlib import Path

import pytest
from looping import make_loop_workspace
from workspaces import evo_here

KEYLESS = "--ideator none"


def git(workspace: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=workspace, capture_output=True, text=True, check=True).stdout


def iterations(workspace: Path) -> list[str]:
    return [line.split(":")[0] for line in git(workspace, "log", "--format=%s").splitlines() if line[:5] == "iter "]


def change(workspace: Path, words: str) -> None:
    with sqlite3.connect(workspace / ".evo" / "evo.db") as db:
        db.execute(words)


@pytest.fixture(scope="module")
def looped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certified at its first experiment, at its end."""
    page = "import evo.recipe, pathlib\nrun = evo.recipe.current()\nout = pathlib.Path(run.output_dir)\n"
    page += "out.mkdir(parents=True, exist_ok=True)\n(out / 'skill.txt').write_text('0.9')\nrun.finish(out)\n"
    workspace = make_loop_workspace(tmp_path_factory.mktemp("commits") / "ws", n=200, page=page)
    assert evo_here(f"loop -n 1 {KEYLESS} --json", cwd=workspace).data["committed"] == "exp_0001"
    return workspace


def test_c8_a_commit_that_the_store_did_not_hear_of_is_found_again(looped: Path) -> None:
    """C8, C14: killed between the commit and its row: no second one; drafts of a killed writer are gone, others not."""
    sha = git(looped, "log", "-1", "--format=%H", "--grep=^iter 1:").strip()
    change(looped, "UPDATE loop_pick SET commit_sha = NULL")
    change(looped, "UPDATE loop SET status = 'stopped', reason = ''")
    drafts = [looped / ".PLAN.md.0123456789ab", looped / ".evo" / "loop" / ".heartbeat.json.0123456789ab"]
    mine = looped / ".notes.md.0123456789ab"
    for file in (*drafts, mine):
        file.touch()
    assert evo_here(f"loop -n 2 {KEYLESS} --json", cwd=looped).data["experiments"] == 2
    assert sorted(iterations(looped)) == ["iter 1", "iter 2"]
    with sqlite3.connect(looped / ".evo" / "evo.db") as db:
        assert db.execute("SELECT commit_sha FROM loop_pick WHERE k = 1").fetchone()[0] == sha
    assert [file.exists() for file in (*drafts, mine)] == [False, False, True]
    mine.unlink()


def test_c6_a_fact_that_a_kill_has_kept_from_git_is_no_edit_of_a_person(looped: Path) -> None:
    """C6, C14: written and not committed: the loop that goes on commits it; a person's edits it leaves."""
    background = looped / "BACKGROUND.md"
    assert "## Certified by evo loop" in git(looped, "show", "HEAD:BACKGROUND.md")
    with_fact = background.read_bytes()
    (first,) = git(looped, "log", "--format=%H", "--grep=^iter 1:").split()
    for words in ("", "\nAda is at it.\n"):
        git(looped, "checkout", "-q", f"{first}~1", "--", "BACKGROUND.md")
        git(looped, "commit", "-qm", "as it was before")
        background.write_bytes(words.encode() + with_fact)
        change(looped, "UPDATE loop_pick SET commit_sha = NULL WHERE k = 1")
        git(looped, "commit", "-q", "--allow-empty", "-m", "later")
        head = git(looped, "rev-parse", "HEAD").strip()
        change(looped, f"UPDATE loop SET status = 'stopped', reason = '', start_commit = '{head}'")
        assert evo_here("loop --json", cwd=looped).code == 0
        assert ("## Certified" in git(looped, "show", "HEAD:BACKGROUND.md")) == (not words)


@pytest.mark.slow
def test_c8_a_person_with_an_open_editor_holds_nothing_up_and_no_commit_is_lost(tmp_path: Path) -> None:
    """C8: `git commit` holds the index while its editor is open: no round waits for it, and the commits come later."""
    workspace = make_loop_workspace(tmp_path / "ws", "gate.mode=none", n=60)
    assert evo_here("run exp_0000 --json", cwd=workspace).code == 0
    (workspace / "mission.md").write_text("x")
    words = ["git", "-c", "core.editor=sleep 4; echo mine >", "commit", "-qa"]
    person = subprocess.Popen(words, cwd=workspace)
    try:
        while not (workspace / ".git" / "index.lock").exists():
            assert person.poll() is None
            time.sleep(0.02)
        began = time.monotonic()
        done = evo_here(f"loop -n 2 {KEYLESS}", cwd=workspace)
        assert person.wait(10) == 0
    finally:
        person.kill()
        person.wait()
    assert (done.code, done.err.count("another git holds the index")) == (0, 1), done.err
    assert time.monotonic() - began < 18
    assert sorted(iterations(workspace)) == ["iter 1", "iter 2"]
    assert git(workspace, "log", "-1", "--format=%s", "--", "mission.md").strip() == "mine"
