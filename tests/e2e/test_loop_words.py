"""What the words of `evo loop` mean: which loop, how many of what, how they are refused; and what its own words say."""

from __future__ import annotations

import json
from pathlib import Path

from looping import make_loop_workspace
from workspaces import evo_here

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
