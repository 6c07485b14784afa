"""`evo loop` through the real command line: what it makes, when it stops, what it leaves for people, and what not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from looping import PAGE, heartbeat, journal, make_loop_workspace, write_recipe
from workspaces import SCORE, Answer, clean_environment, evo, evo_here, make_command_workspace

from evo.ops.loop.margin import LINE

KEYLESS = "--ideator none"
PAGES = ("AGENT_CONTEXT.md", "PLAN.md", "experiments.jsonl")


def git(workspace: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=workspace, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def looped(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Answer, bytes]:
    """A loop of six by two workers, beside somebody's own staged work; and evo.yaml as it was before."""
    workspace = make_loop_workspace(tmp_path_factory.mktemp("loop") / "ws")
    (workspace / "mine.txt").write_text("half done")
    git(workspace, "add", "mine.txt")
    before = (workspace / "evo.yaml").read_bytes()
    (workspace / "PLAN.md").write_text("# Plan\n\nFirst the rate, says Ada.\n")
    answer = evo_here(f"loop --experiments 6 --workers 2 {KEYLESS} --json", cwd=workspace)
    return workspace, answer, before


def test_c5_a_loop_plans_runs_and_stops_at_its_number(looped: tuple[Path, Answer, bytes]) -> None:
    """C5, E1: plan, train, evaluate, gate, and the next plan from what came out; beside every gain what random draws
    would have been expected to give."""
    workspace, answer, _ = looped
    data = answer.data
    assert (data["status"], data["experiments"], data["reason"]) == ("completed", 6, "6 experiments made")
    assert evo_here("status --json", cwd=workspace).data["experiments"] == 7
    later = [pick for pick in data["picks"] if "expected" in pick["why"]]
    assert later, "no pick followed the results"
    assert "rate" in json.dumps([pick["why"] for pick in data["picks"]])
    assert all(pick["expected_of_draws"] is not None for pick in data["picks"][2:])
    assert data["gain"] == max(pick["gain"] for pick in data["picks"])
    again = evo_here(f"loop --experiments 6 --workers 2 {KEYLESS} --json", cwd=workspace).data
    assert (again["id"], again["experiments"]) == (data["id"], 6), "a loop at its end starts nothing"


def test_c6_a_plan_is_for_one_iteration_and_changes_no_setting(looped: tuple[Path, Answer, bytes]) -> None:
    """C6: hypothesis and settings of this iteration only; evo.yaml and the recipe stay as they were."""
    workspace, _, before = looped
    rows = journal(workspace)
    assert all(row["hypothesis"] and row["why"] for row in rows)
    assert len({json.dumps(row["settings"], sort_keys=True) for row in rows}) == 6
    assert (workspace / "evo.yaml").read_bytes() == before
    shown = evo_here(f"show {rows[-1]['experiment']} --json", cwd=workspace).data["recipe"]["params"]
    assert rows[-1]["settings"].items() <= shown.items()  # type: ignore[attr-defined]


def test_c7_pages_for_people_are_kept_up_to_date(looped: tuple[Path, Answer, bytes]) -> None:
    """C7, C8: AGENT_CONTEXT.md has every iteration, PLAN.md the state under what a person wrote."""
    workspace, answer, _ = looped
    context, plan = ((workspace / name).read_text() for name in ("AGENT_CONTEXT.md", "PLAN.md"))
    assert all(f"| {pick['experiment']} |" in context for pick in answer.data["picks"])
    assert plan.startswith("# Plan\n\nFirst the rate, says Ada.\n")
    assert "completed (6 experiments made)" in plan


def test_c8_one_commit_an_iteration_and_nobody_elses_work_in_it(looped: tuple[Path, Answer, bytes]) -> None:
    """C8: journal, heartbeat, `iter N: x% — hypothesis`, with the experiment and the hash of its weights."""
    workspace, answer, _ = looped
    beat = heartbeat(workspace)
    assert beat.keys() == {"iteration", "status", "score", "timestamp", "error"}
    assert (beat["status"], beat["score"], beat["error"]) == ("completed", answer.data["score"]["mean"], None)
    assert sorted(row["iteration"] for row in journal(workspace)) == list(range(1, 7))  # type: ignore[type-var]
    subjects = [line for line in git(workspace, "log", "--format=%s").splitlines() if line.startswith("iter ")]
    assert sorted(line.split(":")[0] for line in subjects) == [f"iter {k}" for k in range(1, 7)]
    assert all("% — cube" in line and len(line.split("— ")[1]) <= 60 for line in subjects)
    files = git(workspace, "log", "--name-only", "--format=", "--grep=^iter ").split()
    assert {"AGENT_CONTEXT.md", "PLAN.md", "experiments.jsonl"} <= set(files) <= {*PAGES, "BACKGROUND.md"}
    assert "mine.txt" in git(workspace, "diff", "--cached", "--name-only")
    body = git(workspace, "log", "-1", "--format=%B", "--grep=^iter ")
    assert "Evo-Weights: " in body
    row = journal(workspace)[-1]
    shown = evo_here(f"show {row['experiment']} --json", cwd=workspace).data["recipe"]["params"]
    assert (row["params"], f"Evo-Commit: {row['commit']}" in body) == (shown, True)
    assert git(workspace, "cat-file", "-t", str(row["commit"])).strip() == "commit"
    assert "Evo-Experiment: exp_" in body


def test_d16_without_a_target_no_score_ends_it_and_blocked_is_not_complete(tmp_path: Path) -> None:
    """D16: no target, no stop condition; failures alike end the loop as an error, and it can go on afterwards."""
    page = PAGE.replace("no memory left", "no memory left for hf_abcdefghijklm")
    workspace = make_loop_workspace(tmp_path / "ws", n=60, fails=True, page=page)
    refused = evo_here(f"loop --until target {KEYLESS} --json", cwd=workspace)
    assert (refused.code, "there is no target" in refused.error["message"]) == (2, True)
    assert evo_here("loop --until never --experiments 3 --json", cwd=workspace).code == 2
    blocked = evo_here(f"loop --experiments 12 --workers 2 {KEYLESS} --json", cwd=workspace)
    assert blocked.code == 4, blocked.out
    assert "failed alike" in blocked.error["message"]
    assert "no memory left" in blocked.error["hint"]
    assert "hf_" not in git(workspace, "log", "-p"), "a log that may hold anything is in git"
    assert "blocked" in git(workspace, "log", "-1", "--format=%s")
    assert heartbeat(workspace)["status"] == "error"
    assert "blocked" in str(heartbeat(workspace)["error"])
    made = evo_here("status --json", cwd=workspace).data["experiments"]
    assert made < 12
    write_recipe(workspace, "cube", PAGE.replace("PAUSE", "0").replace("FAILS", "False"))
    done = evo_here(f"loop --experiments {made} {KEYLESS} --json", cwd=workspace).data
    assert (done["id"], done["status"], done["experiments"]) == (1, "completed", made)


@pytest.mark.slow
def test_c14_a_stopped_loop_ends_its_runs_and_goes_on_later(tmp_path: Path) -> None:
    """C14: SIGTERM ends runs and loop, the heartbeat says why, and the next call finishes the same picks."""
    workspace = make_loop_workspace(tmp_path / "ws", "run.grace-s=0.2", n=60, pause=1.5)
    assert evo("run", "exp_0000", cwd=workspace).code == 0
    words = [sys.executable, "-m", "evo", "loop", "-n", "2", "--workers", "2", "--ideator", "none", "--json"]
    loop = subprocess.Popen(words, cwd=workspace, env=clean_environment(), stdout=subprocess.PIPE)
    while len(evo_here("status --json", cwd=workspace).data["running"]) < 2:
        assert loop.poll() is None
        time.sleep(0.05)
    os.kill(loop.pid, signal.SIGTERM)
    out, _ = loop.communicate(timeout=30)
    assert (loop.returncode, json.loads(out)["data"]["status"]) == (9, "stopped")
    assert evo_here("show exp_0001 --json", cwd=workspace).data["state"] == "pending", "a stop spends no attempt"
    assert evo_here("status --json", cwd=workspace).data["running"] == []
    assert heartbeat(workspace)["status"] == "error"
    write_recipe(workspace, "cube", PAGE.replace("PAUSE", "0").replace("FAILS", "False"))
    done = evo_here("loop --json", cwd=workspace).data
    assert (done["id"], done["status"], done["experiments"]) == (1, "completed", 2)
    assert all(pick["outcome"] == "scored" for pick in done["picks"])
    assert [one["outcome"] for one in evo_here("show exp_0001 --json", cwd=workspace).data["attempts"]] == [
        "lost",
        "ok",
    ]


def test_a_budget_that_is_spent_ends_nothing(tmp_path: Path) -> None:
    """D16, C14: exit 8 with an open pick is no end; once the cap is raised the same loop makes what was asked for."""
    workspace = make_loop_workspace(tmp_path / "ws", "budget.attempts=1", n=60)
    spent = evo_here(f"loop --experiments 2 {KEYLESS} --json", cwd=workspace)
    assert (spent.code, heartbeat(workspace)["status"]) == (8, "error")
    assert evo_here("config set budget.attempts 9 --json", cwd=workspace).code == 0
    done = evo_here("loop --json", cwd=workspace).data
    assert (done["id"], done["status"], done["experiments"]) == (1, "completed", 2)


def test_a_target_needs_a_certificate(tmp_path: Path) -> None:
    """C5: it stops at the first certified experiment on the target's side, before its number is reached."""
    workspace = make_loop_workspace(tmp_path / "ws", "loop.target=0.45", n=300)
    done = evo_here(f"loop --experiments 12 {KEYLESS} --json", cwd=workspace).data
    assert done["status"] == "completed"
    assert "certified" in done["reason"]
    assert done["experiments"] < 12
    assert done["committed"] != "exp_0000"


def test_a_run_that_cannot_be_evaluated_does_not_end_the_night(tmp_path: Path) -> None:
    """D16: one that leaves what the scorer cannot read counts as failed, and the loop goes on."""
    picky = SCORE.replace("float(file.read_text())", "float(file.read_text().replace('0.61', 'unreadable'))")
    workspace = make_command_workspace(tmp_path / "ws", n=60, score=picky)
    home = workspace / "recipes" / "skill"
    home.mkdir(parents=True)
    (home / "recipe.yaml").write_text(
        "name: skill\ntechnique: command\nparams:\n  level: {type: float, default: 0.61, min: 0.1, max: 0.9}\n"
        '  argv: {type: str, default: "python recipe/train.py", tune: false}\n'
    )
    (home / "train.py").write_text(
        "import json, os\njob = json.load(open(os.environ['EVO_JOB'] + '/job.json'))\n"
        "open(os.environ['EVO_CHECKPOINT_DIR'] + '/skill.txt', 'w').write(str(job['run']['params']['level']))\n"
    )
    answer = evo_here(f"loop --experiments 3 {KEYLESS} --recipes skill --json", cwd=workspace)
    picks = answer.data["picks"]
    assert (answer.data["status"], len(picks)) == ("completed", 3)
    assert (picks[0]["outcome"], picks[0]["score"]) == ("failed", None)
    assert all(pick["score"] is not None for pick in picks[1:])


def test_words_that_make_no_sense_are_refused(looped: tuple[Path, Answer, bytes]) -> None:
    begun = git(looped[0], "rev-parse", "HEAD")
    for words, said in (
        ("--until stall:0", "not a stop policy"), ("--policy best", "no policy named"),
        ("--ideator oracle", "no source named"), ("--recipes cuba", "no recipe named"),
        ("--fresh --recipes command", "no parameter with a range"),
        ("--fresh --recipes sft", "data/train.jsonl, which does not exist"),
    ):  # fmt: skip
        answer = evo_here(f"loop {words} --json", cwd=looped[0])
        assert answer.code in (2, 3), words
        assert said in answer.error["message"], answer.error
    assert git(looped[0], "rev-parse", "HEAD") == begun, "a loop was begun"


def test_what_a_person_writes_into_the_pages_stays(tmp_path: Path) -> None:
    """C8: above the line and below it, in a page whose line she took out too, and none of it twice."""
    workspace = make_loop_workspace(tmp_path / "ws", n=60)
    assert evo_here(f"loop --experiments 1 {KEYLESS} --json", cwd=workspace).code == 0
    context, plan = workspace / "AGENT_CONTEXT.md", workspace / "PLAN.md"
    context.write_text(f"Ask Ada first.\n{context.read_text()}\nThe rate is suspect.\n")
    plan.write_text(plan.read_text().replace(LINE, "No more than rank 16."))
    assert evo_here(f"loop --experiments 2 {KEYLESS} --json", cwd=workspace).code == 0
    for page, words in ((context, ("Ask Ada first.", "The rate is suspect.")), (plan, ("No more than rank 16.",))):
        above, _, below = page.read_text().partition(LINE)
        assert all(above.count(word) == 1 and word not in below for word in words), page.read_text()
    assert "| 1 | exp_0001 |" in context.read_text().partition(LINE)[2]
    assert "exp_0001" not in context.read_text().partition(LINE)[0]
    assert context.read_text().count("# What the loop has learnt") == 1


def test_a_number_that_is_reached_without_a_score_is_no_end(tmp_path: Path) -> None:
    """D16: being blocked is not complete. Once the recipe is mended the same values are made of it anew."""
    workspace = make_loop_workspace(tmp_path / "ws", n=60, fails=True)
    blocked = evo_here(f"loop --experiments 2 {KEYLESS} --json", cwd=workspace)
    assert (blocked.code, "none has a score (smoke)" in blocked.error["message"]) == (4, True), blocked.error
    assert "exp_0002: " in blocked.error["hint"], blocked.error
    assert heartbeat(workspace)["status"] == "error"
    write_recipe(workspace, "cube", PAGE.replace("PAUSE", "0").replace("FAILS", "False"))
    done = evo_here(f"loop {KEYLESS} --json", cwd=workspace).data
    assert (done["id"], done["status"], done["experiments"]) == (1, "completed", 2)
    assert [pick["outcome"] for pick in done["picks"]] == ["refused", "refused", "scored", "scored"]
    assert evo_here("show exp_0003 --json", cwd=workspace).data["hypothesis"].endswith("the recipe's defaults")


@pytest.mark.slow
def test_what_the_machine_refused_is_run_once_it_is_mended(tmp_path: Path) -> None:
    """D16: where the smoke runs of all failed of something outside of the recipe, the same experiments go on later."""
    page = PAGE.replace("if FAILS:", f"if not pathlib.Path({str(tmp_path / 'shared' / 'driver')!r}).exists():")
    workspace = make_loop_workspace(tmp_path / "ws", n=60, page=page)
    assert evo_here(f"loop --experiments 2 {KEYLESS} --json", cwd=workspace).code == 4
    (tmp_path / "shared" / "driver").touch()
    done = evo_here("loop --json", cwd=workspace).data
    assert [(pick["experiment"], pick["outcome"]) for pick in done["picks"]] == [
        ("exp_0001", "scored"),
        ("exp_0002", "scored"),
    ]


@pytest.mark.slow
def test_values_that_are_refused_end_and_others_take_their_place(tmp_path: Path) -> None:
    """A smoke run that refuses some values ends their pick: the number is made of others, and the tree keeps why."""
    page = PAGE.replace("if FAILS:", "if p.beta < 0.3:").replace("PAUSE", "0")
    workspace = make_loop_workspace(tmp_path / "ws", n=60, page=page)
    done = evo_here(f"loop --experiments 2 {KEYLESS} --json", cwd=workspace).data
    assert (done["status"], done["experiments"]) == ("completed", 2)
    assert [pick["outcome"] for pick in done["picks"]].count("scored") == 2
    assert (done["picks"][0]["experiment"], done["picks"][0]["outcome"]) == ("exp_0001", "refused")
    shown = evo_here("show exp_0001 --json", cwd=workspace).data
    assert (shown["state"], shown["attempts"]) == ("discarded", [])


def test_a_key_is_one_search(tmp_path: Path) -> None:
    """The same key goes on with another number, and is refused with another policy; an end that was said takes the
    place of the other kind."""
    workspace = make_loop_workspace(tmp_path / "ws", n=60)
    first = evo_here(f"loop --key a -n 1 {KEYLESS} --json", cwd=workspace).data
    other = evo_here(f"loop --key a -n 2 --policy iid {KEYLESS} --json", cwd=workspace)
    assert (other.code, "another policy" in other.error["message"]) == (4, True)
    seeded = evo_here(f"loop --key a -n 2 --seed 0 {KEYLESS} --json", cwd=workspace)
    assert (seeded.code, "another seed" in seeded.error["message"]) == (4, True)
    stalled = evo_here(f"loop --key a --until stall:2 {KEYLESS} --json", cwd=workspace).data
    assert (stalled["id"], stalled["reason"]) == (first["id"], "2 rounds without gain")


@pytest.mark.slow
def test_the_heartbeat_beats_while_a_run_takes_long(tmp_path: Path) -> None:
    """C8: whoever watches tells a loop that waits from one that is gone; the plan names what runs; another loop is
    told that one is at work."""
    workspace = make_loop_workspace(tmp_path / "ws", n=60, pause=6.5)
    assert evo("run", "exp_0000", cwd=workspace).code == 0
    words = [sys.executable, "-m", "evo", "loop", "-n", "1", "--ideator", "none", "--json"]
    loop = subprocess.Popen(words, cwd=workspace, env=clean_environment(), stdout=subprocess.DEVNULL)
    try:
        seen = set()
        while loop.poll() is None:
            if (beat := workspace / ".evo" / "loop" / "heartbeat.json").is_file():
                at = heartbeat(workspace)
                seen |= {at["timestamp"]} if (at["status"], at["iteration"]) == ("running", 1) else set()
            if len(seen) == 1 and beat.is_file():
                assert "- exp_0001: " in (workspace / "PLAN.md").read_text()
            time.sleep(0.2)
        assert loop.returncode == 0
        assert len(seen) >= 3, "picked, five seconds later, ended"
    finally:
        loop.kill()
        loop.wait()


@pytest.mark.slow
def test_a_merge_that_a_person_is_in_is_left_alone(tmp_path: Path) -> None:
    """C8: no commit and no staging in the middle of a conflict; it is said once, and the merge can still be undone."""
    workspace = make_loop_workspace(tmp_path / "ws", n=60)
    assert evo_here(f"loop --experiments 1 {KEYLESS} --json", cwd=workspace).code == 0
    for branch, text in (("side", "a"), ("main", "b")):
        git(workspace, "checkout", "-q", *(["-b"] if branch == "side" else []), branch)
        (workspace / "conflict").write_text(text)
        git(workspace, "add", "conflict")
        git(workspace, "commit", "-qm", branch)
    subprocess.run(["git", "merge", "-q", "side"], cwd=workspace, capture_output=True, check=False)
    before = git(workspace, "diff", "--cached", "--name-only"), git(workspace, "rev-parse", "HEAD")
    done = evo_here(f"loop --experiments 3 {KEYLESS}", cwd=workspace)
    assert (done.code, done.err.count("a merge is under way")) == (0, 1), done.err
    assert (git(workspace, "diff", "--cached", "--name-only"), git(workspace, "rev-parse", "HEAD")) == before
    git(workspace, "merge", "--abort")
    assert len(journal(workspace)) == 3


@pytest.mark.slow
def test_two_that_begin_at_once_are_one_loop(tmp_path: Path) -> None:
    """D16: one works, the other is told so (exit 9) and changes nothing; also where both go on with a loop."""
    workspace = make_loop_workspace(tmp_path / "ws", n=60, pause=0.5)
    for n in ("1", "2"):
        words = [sys.executable, "-m", "evo", "loop", "-n", n, "--ideator", "none", "--json"]
        both = [
            subprocess.Popen(words, cwd=workspace, env=clean_environment(), stdout=subprocess.PIPE) for _ in range(3)
        ]
        said = [json.loads(loop.communicate(timeout=60)[0]) for loop in both]
        assert sorted(loop.returncode for loop in both) == [0, 9, 9], said
        assert {answer["data"]["id"] for answer in said if answer["ok"]} == {1}
        assert evo_here("status --json", cwd=workspace).data["experiments"] == int(n) + 1
