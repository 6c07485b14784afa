"""What a recipe teaches the demo's model: its page as a process of its own, and sums that it was not trained on."""

from __future__ import annotations

import json
import random
from pathlib import Path

from paging import ADDITION, OWN, PARAMS, alone

BASE = ADDITION / "model"
GOLD = 200


def settings(recipe: str, **params: object) -> dict[str, object]:
    """Of a minute on one core."""
    common = {"min_learning_rate": 0.0, "warmup": 0.1, "epochs": 50, "lora_rank": 16, "lora_alpha": 32.0}
    return {**PARAMS, **common, **OWN[recipe], "logging_steps": 10, **params}


def taught(recipe: str, out: Path, data: Path, *, parent: Path | None = None, **params: object) -> Path:
    """The output of the page."""
    stated = {
        "params": settings(recipe, **params), "data": {"train": str(data)}, "seed": 1, "base_model": str(BASE),
        "seed_artifact": str(parent) if parent else None, "init_from": "parent" if parent else "base",
    }  # fmt: skip
    done = alone(recipe, out, stated)
    assert done.returncode == 0, done.stderr
    return out / "output"


def exact_match(folder: Path) -> float:
    """Share of the gold sums that are answered to the letter, greedily."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    is_adapter = (folder / "adapter_config.json").exists()
    model = AutoModelForCausalLM.from_pretrained(BASE if is_adapter else folder)
    if is_adapter:
        model = PeftModel.from_pretrained(model, folder)
    items = [json.loads(line)["messages"] for line in (ADDITION / "gold.jsonl").read_text().splitlines()[:GOLD]]
    answers = answered(model, [item[:-1] for item in items])
    return sum(answer == item[-1]["content"] for answer, item in zip(answers, items, strict=True)) / len(items)


def answered(model, conversations: list[list[dict]], **how: object) -> list[str]:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(BASE)
    inputs = tokenizer.apply_chat_template(
        conversations, add_generation_prompt=True, padding=True, return_dict=True, return_tensors="pt"
    )
    width = inputs["input_ids"].shape[1]
    outputs = model.generate(**inputs, max_new_tokens=5, **({"do_sample": False} | how))[:, width:]
    return tokenizer.batch_decode(outputs, skip_special_tokens=True)


def preferences(count: int) -> list[dict[str, str]]:
    """The truth against a wrong answer of the base model's own, or one that is close, for `count` training sums."""
    import torch
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    rows = [json.loads(line) for line in (ADDITION / "train.jsonl").read_text().splitlines()]
    asked = [row["messages"] for row in random.Random(0).sample(rows, count)]
    drawn = answered(
        AutoModelForCausalLM.from_pretrained(BASE), [turns[:-1] for turns in asked], do_sample=True, temperature=1.0
    )
    pairs = []
    for turns, sample in zip(asked, drawn, strict=True):
        truth = turns[-1]["content"]
        wrong = (
            sample
            if sample.strip() and sample != truth
            else str(int(truth) + random.Random(truth).choice([-10, -1, 1, 10]))
        )
        pairs.append({"prompt": turns[-2]["content"], "chosen": truth, "rejected": wrong})
    return pairs
