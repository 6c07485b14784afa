"""The supervised page on the demo's model and sums: what it teaches, and that a child goes on where its parent was."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("trl")

from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from evo.files import write_json

ROOT = Path(__file__).parents[2]
ADDITION = ROOT / "workspace_template" / "addition"
PARAMS = {
    "method": "full", "learning_rate": 3e-3, "min_learning_rate": 0.0, "scheduler": "cosine", "warmup": 0.1,
    "weight_decay": 0.01, "epochs": 50, "max_steps": 100, "batch_size": 128, "gradient_accumulation": 1,
    "max_length": 128, "packing": False, "gradient_checkpointing": True, "lora_rank": 16, "lora_alpha": 32.0,
    "lora_dropout": 0.0, "frozen_precision": "auto", "logging_steps": 10,
}  # fmt: skip

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:.*checkpointing:FutureWarning")]


def train(out: Path, *, parent: Path | None = None, **params: object) -> Path:
    """The output of the page, as a process of its own, stand-alone."""
    stated = {
        "params": {**PARAMS, **params}, "data": {"train": str(ADDITION / "train.jsonl")}, "seed": 1,
        "base_model": str(ADDITION / "model"), "seed_artifact": str(parent) if parent else None,
        "init_from": "parent" if parent else "base",
    }  # fmt: skip
    out.mkdir()
    write_json(out / "try.json", stated)
    page = [sys.executable, str(ROOT / "recipes/sft/train.py"), "--params", str(out / "try.json"), "--out", str(out)]
    env = {name: value for name, value in os.environ.items() if name != "EVO_JOB"}
    done = subprocess.run(
        page, env={**env, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return out / "output"


def losses(output: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (output.parent / "metrics.jsonl").read_text().splitlines()]


def exact_match(folder: Path) -> float:
    """Share of 200 gold sums that are answered to the letter, greedily."""
    tokenizer = AutoTokenizer.from_pretrained(ADDITION / "model")
    is_adapter = (folder / "adapter_config.json").exists()
    model = AutoModelForCausalLM.from_pretrained(ADDITION / "model" if is_adapter else folder)
    if is_adapter:
        model = PeftModel.from_pretrained(model, folder)
    items = [json.loads(line)["messages"] for line in (ADDITION / "gold.jsonl").read_text().splitlines()[:200]]
    inputs = tokenizer.apply_chat_template(
        [item[:-1] for item in items], add_generation_prompt=True, padding=True, return_dict=True, return_tensors="pt"
    )
    width = inputs["input_ids"].shape[1]
    outputs = model.generate(**inputs, max_new_tokens=5, do_sample=False)[:, width:]
    answers = tokenizer.batch_decode(outputs, skip_special_tokens=True)
    return sum(answer == item[-1]["content"] for answer, item in zip(answers, items, strict=True)) / len(items)


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tmp_path_factory.mktemp("sft") / "adapter", method="lora", learning_rate=5e-3)


def test_full_weights_learn_the_sums(tmp_path):
    """C18: on a CPU, with a tiny model."""
    assert exact_match(ADDITION / "model") < 0.45
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
