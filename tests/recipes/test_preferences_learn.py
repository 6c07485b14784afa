"""The pages on preferences, from the demo's model: a minute each on one core teaches sums that were not trained on."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("trl")

from learning import BASE, exact_match, preferences, taught

from evo.files import write_jsonl

GAIN = 0.08
"""Each ends at least 8 points above its base."""
TRIALS = {
    "dpo": ("dpo", {"learning_rate": 3e-4, "batch_size": 64, "max_steps": 100}),
    "dpo-lora": ("dpo", {"learning_rate": 3e-3, "batch_size": 64, "max_steps": 100, "method": "lora"}),
    "kto": ("kto", {"learning_rate": 3e-4, "batch_size": 128, "max_steps": 100}),
    "kto-lora": ("kto", {"learning_rate": 5e-3, "batch_size": 128, "max_steps": 100, "method": "lora"}),
    "orpo": ("orpo", {"learning_rate": 2e-4, "batch_size": 64, "max_steps": 250, "beta": 1.0}),
}

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:.*checkpointing:FutureWarning")]


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pairs") / "pairs.jsonl"
    write_jsonl(path, preferences(3000))
    return path


@pytest.fixture(scope="module")
def before() -> float:
    return exact_match(BASE)


@pytest.mark.parametrize("trial", TRIALS)
def test_preferences_teach_the_sums(trial: str, pairs: Path, before: float, tmp_path: Path) -> None:
    recipe, params = TRIALS[trial]
    assert exact_match(taught(recipe, tmp_path / "out", pairs, **params)) >= before + GAIN
