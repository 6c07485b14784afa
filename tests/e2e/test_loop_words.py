"""What the words of `evo loop` mean: which loop, how many of what, how they are refused; and what its own words say."""

from __future__ import annotations

import json
import re
from pathlib import Path

from looping import make_loop_workspace
from workspaces import evo, evo_here

from evo.cli.loop import parted
from evo.cli.render.loop import loop as render
from evo.domain.loop import Pick, Plan
from evo.domain.loop_views import LoopView
from evo.domain.views import ScoreView
from evo.ops.loop.stop import blocked

KEYLESS = "--ideator none"


def test_another_policy_begins_a_new_loop_also_where_the_last_was_cut_off(tmp_path: Path) -> None:
    """A control that went on with the picks of a search would be none; what is left of the other one is said."""
    workspace = make_loop_workspace(tmp_path / "ws", "budget.attempts=1", n=60)
    assert evo_here(f"loop -n 2 {KEYLESS} --json", cwd=workspace).code == 8
    assert evo_here("config set budget.attempts 9 --json", cwd=workspace).code == 0
    control = evo_here(f"loop -n 2 --policy iid {KEYLESS} --json", cwd=workspace)
    assert (control.data["id"], [pick["kind"] for pick in control.data["picks"]]) == (2, ["draw", "draw"])
    assert "loop 1, with another policy, is left as it is: exp_0002 did not run" in control.err


def test_c8_lines_of_others_in_the_journal_stay(tmp_path: Path) -> None:
    """C8: byte for byte, whatever they are and how often the loop writes; that they are there is said, once."""
    workspace = make_loop_workspace(tmp_path / "ws", "gate.mode=none", n=60)
    journal = workspace / "experiments.jsonl"
    theirs = '{"mine": 1}\n\nno JSON\r\n{"loop": 1, "iteration": 1, "by": "Ada\u2028"}\n'.encode() + b'"\xff"'
    journal.write_bytes(theirs)
    said = evo_here(f"loop -n 2 {KEYLESS}", cwd=workspace).err
    assert said.count("experiments.jsonl has lines that no loop of this workspace wrote") == 1, said
    above, ours = journal.read_bytes()[: len(theirs) + 1], journal.read_bytes()[len(theirs) + 1 :]
    assert above == theirs + b"\n"
    assert [json.loads(line)["iteration"] for line in ours.splitlines()] == [1, 2]


def test_c5_a_gain_stands_beside_its_interval_and_what_all_the_runs_would_have_given_at_random(tmp_path: Path) -> None:
    """C5: also the first, of which nothing is known; a fresh loop counts the runs of the others, as the gain does."""
    workspace = make_loop_workspace(tmp_path / "ws", "gate.mode=none", n=60)
    first = evo_here(f"loop -n 1 {KEYLESS}", cwd=workspace)
    assert "; what random draws would give is not told by one run" in first.err
    assert "at random  not told by the runs so far" in first.out
    assert "1 experiment, 1 run\n" in first.out
    assert re.search(r"gain [+-]0\.\d{3} \[[+-]0\.\d{3}, \+0\.\d{3}\] over exp_0000", first.err), first.err
    again = evo_here(f"loop -n 1 --fresh {KEYLESS}", cwd=workspace)
    assert "the best of 2 random draws would be expected to gain" in again.err, again.err


def test_the_end_of_a_loop_shows_the_interval_of_its_gain() -> None:
    best = LoopView(1, "completed", "", 2, 2, "exp_0002", ScoreView(0.7, 0.1, 10), 0.4, 0.2, 0.1, "exp_0000")
    assert "gain +0.400 [+0.008, +0.792] over exp_0000" in "".join(block.text for block in render(best))


def test_an_empty_word_is_no_default_and_a_name_counts_once(tmp_path: Path) -> None:
    refused = evo("loop", "--until", "", cwd=tmp_path)
    assert (refused.code, refused.error["message"]) == (2, "--until '': not a stop policy")
    assert parted("six, six,cube") == ["six", "cube"]


def test_what_blocks_a_loop_names_the_log() -> None:
    told = {"failure": "oom", "message": "Traceback\nCUDA out of memory", "logs": ".evo/attempts/exp_0003/1"}
    failed = Pick(1, 3, "move", Plan("h", "w"), "exp_0003", "failed", told, ended_at="2026-01-01T00:00:00Z")
    assert blocked("why", [failed], hint="mend it").hint == "exp_0003: CUDA out of memory; evo log exp_0003; mend it"
