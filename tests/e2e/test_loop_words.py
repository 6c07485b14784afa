"""What the words of `evo loop` mean: which loop, how many of what, and how they are refused."""

from __future__ import annotations

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
