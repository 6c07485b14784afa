"""Every page on a real model: SmolLM2-135M-Instruct trains a few steps, is exported, loaded again, and evaluated."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("trl")

from evaluating import job_in, results_of, run  # noqa: E402
from paging import OWN, PARAMS, ROWS, alone  # noqa: E402
from safetensors.torch import load_file  # noqa: E402

from evo.evaluate.weights import adds_zero, is_adapter, weights_hash  # noqa: E402
from evo.files import write_jsonl  # noqa: E402
from evo.publish.merge import merge  # noqa: E402

STEPS = 5
SHORT = {"method": "lora", "learning_rate": 5e-4, "max_steps": STEPS, "epochs": 100, "batch_size": 4, "lora_rank": 8}
PAGES = {
    "sft": {}, "dpo": {}, "kto": {}, "orpo": {}, "pretrain": {},
    "grpo": {"temperature": 1.0}, "rloo": {"temperature": 1.0},
    "rft": {"epochs": 3, "max_steps": 0, "min_reward": -1.0, "max_new_tokens": 48},
}  # fmt: skip
BRIEF = [{"name": "brief", "max_length": 8}]
"""A reward that differs from answer to answer, whatever a model that cannot add says."""

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("recipe", PAGES)
def test_a_page_trains_a_real_model_that_can_be_loaded_and_asked_again(recipe: str, smollm: Path, tmp_path: Path):
    write_jsonl(tmp_path / "rows.jsonl", ROWS[recipe])
    stated = {
        "params": {**PARAMS, **OWN[recipe], **SHORT, **PAGES[recipe]}, "data": {"train": str(tmp_path / "rows.jsonl")},
        "base_model": str(smollm), "seed": 7, "rewards": BRIEF,
        "system_prompt": "Answer with the number only.",
    }  # fmt: skip
    done = alone(recipe, tmp_path / "out", stated)
    assert done.returncode == 0, done.stderr[-3000:]
    lines = [json.loads(line) for line in (tmp_path / "out" / "metrics.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    assert len(losses) >= STEPS
    assert all(math.isfinite(loss) for loss in losses)

    output = tmp_path / "out" / "output"
    full = output
    if is_adapter(output):
        assert not adds_zero(output)
        full = tmp_path / "merged"
        merge(output, smollm, full, stored="BF16")
    assert weights_hash(full) != weights_hash(smollm)
    assert {value.dtype for value in load_file(full / "model.safetensors").values()} == {torch.bfloat16}

    asked = {"backend": "hf", "base_model": str(smollm), "generation": {"max_new_tokens": 8, "batch_size": 8}}
    scores = {}
    for name, weights in (("handed over", output), ("exported", full)):
        (tmp_path / name).mkdir()
        job = job_in(tmp_path / name, model=str(weights), **asked)
        told = run(job)
        assert told.returncode == 0, told.stderr[-3000:]
        scores[name] = [row["score"] for row in results_of(job)]
        assert len(scores[name]) == 3
    assert all(0 <= score <= 1 for score in scores["exported"])
