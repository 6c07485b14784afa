"""wandb online, against a loopback server that speaks its wire format: no claim about the real one is tested."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import tracking
from standin_wandb import Standin, standin
from tracked import run, status, sync, training, wait_for_mirror, workspace
from workspaces import evo, new

pytest.importorskip("wandb", reason="wandb is not installed: pip install 'evo-tree[wandb]'")

KEY = "0123456789abcdef0123456789abcdef01234567"


def at(server: Standin) -> dict[str, str]:
    return {"WANDB_API_KEY": KEY, "WANDB_BASE_URL": server.url}


@pytest.mark.slow
def test_a_tree_online_is_told_once_and_a_new_standing_added(tmp_path: Path) -> None:
    """A23, A24: `auto` with a key goes online; curves are streamed, and a discard does not send them again."""
    root = workspace(tmp_path)
    with standin() as server:
        kept = server.kept
        experiment = new(root, training(root, skill="0.7"), "learn slowly", "--parent", "exp_0000")
        assert run(root, experiment, **at(server)).document["warnings"] == []
        wait_for_mirror(root)
        told = status(root, **at(server))
        assert (told["mode"], told["owed"], told["problem"]) == ("online", 0, "")
        tree = told["tree"]
        one = f"{tree}-exp-0001-a1"
        assert set(kept.heads) == {f"{tree}-exp-0000-a1", one, f"{tree}-summary"}
        assert (kept.heads[one]["groupName"], kept.heads[one]["displayName"]) == (tree, "exp_0001")
        assert (kept.heads[one]["project"], kept.heads[one]["jobType"]) == ("ws", "command")
        assert kept.configs[one]["parent"] == "exp_0000"
        assert kept.configs[one]["hypothesis"] == "learn slowly"
        assert [row["train/step"] for row in kept.history(one) if "train/loss" in row] == [1, 2, 3, 4, 5]
        assert kept.summaries[one]["score"] == pytest.approx(evo("show", experiment, cwd=root).data["score"]["mean"])
        assert {f"{tree}-exp_0000", f"{tree}-exp_0001"} <= set(kept.artifacts)
        assert not [name for name in kept.files if "skill" in name]  # no byte of the weights
        assert tracking.offline_runs(root / ".evo" / "track") == {}

        assert sync(root, **at(server)).data["pages"] == 0
        other = new(root, training(root, skill="0.2"), "worse", "--parent", "exp_0000")
        assert run(root, other, **at(server)).code == 0
        wait_for_mirror(root)
        assert evo("discard", other, "--reason", "worse", cwd=root).code == 0
        kept.asked.clear()
        two = f"{tree}-exp-0002-a1"
        before = kept.history(two)
        assert sync(root, **at(server)).data["pages"] == 2
        assert "RunResumeStatus" in kept.asked
        assert kept.summaries[two]["state"] == "discarded"
        assert kept.history(two)[: len(before)] == before


@pytest.mark.slow
def test_a_run_streams_while_it_trains(tmp_path: Path) -> None:
    root = workspace(tmp_path, "track=wandb")
    assert run(root, "exp_0000", EVO_TRACK="none").code == 0
    with standin() as server:
        experiment = new(root, training(root, skill="0.7", steps=50, pause=0.6), "slow", "--parent", "exp_0000")
        assert evo("run", experiment, "--detach", cwd=root, HOME=str(tmp_path), **at(server)).code == 0
        name = f"{status(root)['tree']}-exp-0001-a1"
        deadline = time.monotonic() + 40
        while len(server.kept.history(name)) < 3:
            assert time.monotonic() < deadline, server.kept.asked
            time.sleep(0.2)
        assert evo("show", experiment, cwd=root).data["score"] is None  # it is still at it
        assert evo("abort", experiment, cwd=root, HOME=str(tmp_path)).code == 0
        wait_for_mirror(root)
