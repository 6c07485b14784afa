"""The demo's base model and data, as shipped: small, mediocre on purpose, no gold sum among the training sums.

The slow tests load the weights and train; the others read files only.
"""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ADDITION = Path(__file__).parents[2] / "workspace_template" / "addition"
MODEL = ADDITION / "model"


def read_items(name: str) -> list[dict]:
    return [json.loads(line) for line in (ADDITION / name).read_text(encoding="utf-8").splitlines()]


def operands(item: dict) -> tuple[int, int]:
    a, b = re.fullmatch(r"(\d\d)\+(\d\d)=", item["messages"][0]["content"]).groups()
    return int(a), int(b)


def unordered(item: dict) -> tuple[int, int]:
    a, b = operands(item)
    return min(a, b), max(a, b)


def test_model_folder_is_whole_and_under_four_megabytes():
    """C18: the demo's model travels with evo: safetensors, tokenizer, template; no pickle."""
    names = {path.name for path in MODEL.iterdir()}
    assert names == {
        "chat_template.jinja", "config.json", "generation_config.json",
        "model.safetensors", "tokenizer.json", "tokenizer_config.json",
    }  # fmt: skip
    assert sum(path.stat().st_size for path in MODEL.iterdir()) < 4_000_000
    assert "{%- generation -%}" in (MODEL / "chat_template.jinja").read_text(encoding="utf-8")


@pytest.mark.parametrize(("name", "count"), [("gold.jsonl", 600), ("train.jsonl", 3000)])
def test_every_item_is_a_right_sum_with_its_own_id_and_slice(name, count):
    items = read_items(name)
    assert len(items) == len({item["id"] for item in items}) == count
    for item in items:
        a, b = operands(item)
        assert [message["role"] for message in item["messages"]] == ["user", "assistant"]
        assert item["messages"][1]["content"] == str(a + b)
        assert item["id"] == f"{a}+{b}"
        assert item["slice"] == ("carry" if a % 10 + b % 10 >= 10 else "no-carry")


def test_no_gold_sum_is_a_training_sum_in_either_order():
    gold = [unordered(item) for item in read_items("gold.jsonl")]
    assert len(set(gold)) == len(gold), "a sum and its commuted twin could fall into two splits"
    assert set(gold).isdisjoint(unordered(item) for item in read_items("train.jsonl"))


@pytest.mark.slow
def test_base_model_is_mediocre_in_left_padded_batches():
    """C18: greedy exact match of about 35 %, through the auto classes; answers end with the end token."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(1)
    tokenizer = AutoTokenizer.from_pretrained(MODEL)
    model = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32)
    items = read_items("gold.jsonl")[:200]
    longer = [{"role": "user", "content": "a longer question, so that every other row is padded"}]
    prompts = tokenizer.apply_chat_template(
        [longer, *(item["messages"][:1] for item in items)],
        add_generation_prompt=True, return_dict=True, return_tensors="pt", padding=True,
    )  # fmt: skip
    assert prompts["attention_mask"][1, 0] == 0, "padded on the left"
    assert prompts["attention_mask"][:, -1].all()
    answers_N_T = model.generate(**prompts)[1:, prompts["input_ids"].shape[1] :]
    assert (answers_N_T == tokenizer.eos_token_id).any(dim=1).float().mean() > 0.95
    answers = tokenizer.batch_decode(answers_N_T, skip_special_tokens=True)
    right = sum(answer == item["messages"][1]["content"] for answer, item in zip(answers, items, strict=True))
    assert 0.25 <= right / len(items) <= 0.45


@pytest.mark.slow
def test_script_makes_the_shipped_data_again_and_a_model_that_starts_to_learn(tmp_path):
    command = [sys.executable, ADDITION / "make_model.py", "--out", tmp_path, "--target", "0.03"]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=200)
    assert run.returncode == 0, run.stderr[-2000:]
    for name in ("gold.jsonl", "train.jsonl"):
        assert (tmp_path / name).read_bytes() == (ADDITION / name).read_bytes()
    for path in MODEL.iterdir():
        made = tmp_path / "model" / path.name
        assert made.stat().st_size == path.stat().st_size
        if path.suffix != ".safetensors":
            assert made.read_bytes() == path.read_bytes()


@pytest.mark.slow
def test_pretraining_never_saw_a_gold_sum():
    spec = importlib.util.spec_from_file_location("make_model", ADDITION / "make_model.py")
    make_model = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make_model)
    sums = make_model.split_sums()
    gold, validation, train = ({frozenset(pair) for pair in part} for part in sums)
    assert gold == {frozenset(operands(item)) for item in read_items("gold.jsonl")}
    assert gold.isdisjoint(train | validation)
    assert validation.isdisjoint(train)
    assert len(gold | validation | train) == 90 * 91 // 2
