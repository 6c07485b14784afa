"""The supervised page on the demo's model and sums: what it teaches, and that a child goes on where its parent was."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("trl")

from learning import BASE, exact_match, taught
from paging import ADDITION

DATA = ADDITION / "train.jsonl"
PACE = {"learning_rate": 3e-3, "max_steps": 100, "batch_size": 128}

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:.*checkpointing:FutureWarning")]


def train(out: Path, *, parent: Path | None = None, **params: object) -> Path:
    return taught("sft", out, DATA, parent=parent, **{**PACE, **params})


def losses(output: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (output.parent / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tmp_path_factory.mktemp("sft") / "adapter", method="lora", learning_rate=5e-3)


def test_full_weights_learn_the_sums(tmp_path):
    """C18: on a CPU, with a tiny model."""
    assert exact_match(BASE) < 0.45
    assert exact_match(train(tmp_path / "full")) > 0.75


def test_an_adapter_learns_the_sums_and_its_child_begins_where_it_ended(adapter, tmp_path):
    assert exact_match(adapter) > 0.65
    child = train(tmp_path / "child", parent=adapter, method="lora", learning_rate=1e-4, max_steps=2, logging_steps=1)
    assert losses(child)[0] < losses(adapter)[0] / 2
    assert losses(child)[0] == pytest.approx(losses(adapter)[-1], rel=0.5)


def test_a_merged_adapter_knows_what_it_knew(adapter, tmp_path):
    child = train(tmp_path / "full", parent=adapter, method="full", learning_rate=1e-6, max_steps=1, logging_steps=1)
    assert not (child / "adapter_config.json").exists()
    assert abs(exact_match(child) - exact_match(adapter)) < 0.02
    other = train(tmp_path / "other", parent=adapter, method="lora", lora_rank=4, learning_rate=1e-6, max_steps=1)
    assert abs(exact_match(other) - exact_match(adapter)) < 0.02
