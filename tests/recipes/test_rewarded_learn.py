"""The pages on rewards, from the demo's model: a minute each on one core teaches sums that were not trained on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("trl")

from learning import BASE, exact_match, settings
from paging import ADDITION, alone

GAIN = 0.08
"""Each ends at least 8 points above its base."""
GROUPS = {"batch_size": 256, "max_new_tokens": 5, "scheduler": "constant"}
ROUNDS = {
    "batch_size": 128, "max_new_tokens": 5, "max_steps": 0, "epochs": 4, "steps_per_round": 40, "samples": 8,
    "prompts": 512, "keep": 4, "sampling_batch": 512,
}  # fmt: skip
TRIALS = {
    "grpo": ("grpo", {**GROUPS, "learning_rate": 2e-4, "group_size": 8, "max_steps": 100}),
    "grpo-lora": ("grpo", {**GROUPS, "learning_rate": 1e-3, "group_size": 8, "max_steps": 100, "method": "lora"}),
    "rloo": ("rloo", {**GROUPS, "learning_rate": 3e-4, "group_size": 4, "max_steps": 80, "beta": 0.05}),
    "rft": ("rft", {**ROUNDS, "learning_rate": 1e-3}),
    "rft-lora": ("rft", {**ROUNDS, "learning_rate": 5e-3, "method": "lora"}),
}

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:.*checkpointing:FutureWarning")]


@pytest.fixture(scope="module")
def before() -> float:
    return exact_match(BASE)


@pytest.mark.parametrize("trial", TRIALS)
def test_the_workspaces_own_measure_teaches_the_sums(trial: str, before: float, tmp_path: Path) -> None:
    recipe, params = TRIALS[trial]
    stated = {
        "params": settings(recipe, **params), "data": {"train": str(ADDITION / "train.jsonl")}, "seed": 1,
        "base_model": str(BASE), "rewards": [{"name": "score", "scorer": "workspace"}],
        "scorer": {"name": "exact", "options": {}, "pinned_dir": ""},
    }  # fmt: skip
    done = alone(recipe, tmp_path, stated)
    assert done.returncode == 0, done.stderr
    assert exact_match(tmp_path / "output") >= before + GAIN
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    curve = [line["reward"] for line in lines if "reward" in line]
    assert sum(curve[-3:]) / 3 > curve[0] + 0.05, "what was rewarded grew"
