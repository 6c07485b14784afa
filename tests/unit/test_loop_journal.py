"""A line of experiments.jsonl, which git keeps for good."""

from __future__ import annotations

import json

from evo.domain.loop import Pick, Plan
from evo.ops.loop.journal import row_of

SECRET = "hf_abcdefghijklmnopqrst"


def test_a_line_has_every_parameter_and_no_secret() -> None:
    """DESIGN §4: a log may hold anything, and somebody's command a token; numbers and hashes stay as they are."""
    params = {"learning_rate": 5e-05, "argv": f"python train.py --hub {SECRET}", "warm": True, "rows": [1, 2]}
    told = {
        "failure": "nonzero_exit",
        "message": f"KeyError: {SECRET}",
        "logs": ".evo/attempts/exp_0001/1",
        "params": params,
        "insight": f"sft with argv python train.py --hub {SECRET}: a gain",
        "commit": "0123456789abcdef0123456789abcdef01234567",
    }
    plan = Plan(
        f"argv --hub {SECRET} again", "w", "exp_0000", "sft", settings={"argv": params["argv"], "learning_rate": 5e-05}
    )
    row = row_of(Pick(1, 1, "move", plan, "exp_0001", "failed", told, ended_at="2026-01-01T00:00:00Z"))
    assert SECRET not in json.dumps(row)
    assert (row["failure"], row["logs"], row["commit"]) == (told["failure"], told["logs"], told["commit"])
    assert "message" not in row
    assert row["params"] == params | {"argv": row["params"]["argv"]}
    assert row["params"]["argv"].startswith("python train.py --hub ")


def test_what_evo_itself_refused_keeps_its_words() -> None:
    told = {"failure": "refused", "message": f"rank 0 must be at least 1; token={SECRET}"}
    row = row_of(Pick(1, 1, "idea", Plan("h", "w"), None, "refused", told, ended_at="2026-01-01T00:00:00Z"))
    assert row["message"].startswith("rank 0 must be at least 1")
    assert SECRET not in row["message"]
