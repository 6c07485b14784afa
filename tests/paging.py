"""Pages of recipes/ under the folder of an attempt, or stand-alone, with parameters that a tiny model learns from."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

from evo.domain.job import AttemptFolder, Job, RunFacts
from evo.files import write_json, write_jsonl
from evo.validation import plain

ROOT = Path(__file__).parents[1]
ADDITION = ROOT / "workspace_template" / "addition"
PARAMS = {
    "method": "full", "learning_rate": 1e-2, "min_learning_rate": 0.0, "scheduler": "cosine", "warmup": 0.0,
    "weight_decay": 0.01, "epochs": 1, "max_steps": 3, "batch_size": 8, "gradient_accumulation": 1, "max_length": 128,
    "gradient_checkpointing": True, "lora_rank": 4, "lora_alpha": 8.0, "lora_dropout": 0.0,
    "frozen_precision": "auto", "logging_steps": 1,
}  # fmt: skip
OWN: dict[str, dict[str, object]] = {
    "sft": {"packing": False},
    "dpo": {"beta": 0.1, "sft_weight": 1.0},
    "kto": {"beta": 0.5, "desirable_weight": 4.0, "undesirable_weight": 1.0},
    "orpo": {"beta": 0.1},
    "pretrain": {},
}
_DRAWN = {"temperature": 1.0, "top_p": 1.0, "max_new_tokens": 6}
_GROUPS = {"group_size": 4, "epsilon": 0.2, "iterations": 1, "mask_truncated": False, "vllm_server": "none", **_DRAWN}
OWN |= {
    "grpo": {"beta": 0.0, "epsilon_high": 0.28, "loss_type": "dapo", "scale_rewards": "group", **_GROUPS},
    "rloo": {"beta": 0.0, "epsilon_high": 0.2, "normalize_advantages": False, **_GROUPS},
    "rft": {
        "epochs": 2, "steps_per_round": 2, "max_steps": 0, "prompts": 8, "samples": 4, "keep": 2, "min_reward": 0.5,
        "sampling_batch": 16, **_DRAWN, "max_new_tokens": 40,
    },
}  # fmt: skip
SUMS = [{"prompt": f"{k}+1=", "target": str(k + 1)} for k in range(10, 42)]
PAIRS = [{"prompt": f"{k}+1=", "chosen": str(k + 1), "rejected": str(k + 7)} for k in range(10, 42)]
TEXTS = [{"text": f"{k} and one are {k + 1}. Then follows {k + 2}."} for k in range(10, 42)]
ROWS = {"sft": SUMS, "dpo": PAIRS, "kto": PAIRS, "orpo": PAIRS, "pretrain": TEXTS}
ROWS |= {"grpo": SUMS, "rloo": SUMS, "rft": SUMS}


def load_page(recipe: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"{recipe}_page", ROOT / "recipes" / recipe / "train.py")
    module = importlib.util.module_from_spec(spec)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        spec.loader.exec_module(module)
    return module


def lay_down(
    root: Path, recipe: str, base: Path, rows: list[dict] | None = None, facts: dict | None = None, **params: object
) -> AttemptFolder:
    """The folder of an attempt as the page finds it. `facts` are of RunFacts; `mid` makes it one with an evaluator."""
    folder = AttemptFolder(root)
    for path in (folder.output, root.parent / "cache"):
        path.mkdir(parents=True, exist_ok=True)
    data = root.parent / f"{root.name}.jsonl"
    write_jsonl(data, ROWS[recipe] if rows is None else rows)
    run: dict[str, Any] = {
        "experiment": "exp_0001", "attempt": 1, "seed": 7, "params": {**PARAMS, **OWN[recipe], **params},
        "data": {"train": str(data)}, "output_dir": str(folder.output),
        "cache_dir": str(root.parent / "cache"), "base_model": str(base), **(facts or {}),
    }  # fmt: skip
    job = plain(Job("exp_0001", 1, str(root), None, None, RunFacts(**run)))
    write_json(folder.job, job | ({"mid": {}} if run.get("mid") else {}))
    return folder


def environment(folder: AttemptFolder | None = None) -> dict[str, str]:
    """Of a page as a process of its own; without a folder it is started stand-alone."""
    kept = {name: value for name, value in os.environ.items() if name != "EVO_JOB"}
    job = {} if folder is None else {"EVO_JOB": str(folder.root)}
    return {**kept, **job, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def alone(recipe: str, out: Path, stated: dict) -> subprocess.CompletedProcess[str]:
    """The page stand-alone: `--params FILE --out DIR`."""
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "try.json", stated)
    page = [sys.executable, str(ROOT / "recipes" / recipe / "train.py"), "--params", str(out / "try.json")]
    return subprocess.run(
        [*page, "--out", str(out)], env=environment(), capture_output=True, text=True, timeout=900, cwd=out
    )


def metrics_of(folder: AttemptFolder) -> list[dict]:
    return [json.loads(line) for line in folder.metrics.read_text().splitlines()]
