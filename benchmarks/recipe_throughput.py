"""What a recipe costs beside the bare trainer: samples per second of each page against TRL alone, in turn.

    python benchmarks/recipe_throughput.py [--model DIR] [--recipes sft dpo …] [--steps 300] [--rounds 3] [--batch 32]

Both sides train the same weights on the same rows with the same arguments, one after the other, `rounds` times; each
number is the trainer's own train_samples_per_second, which leaves imports and loading out on both sides, and the best
of its rounds: what else a machine does can only slow it down. Still, run it where nothing else runs. The bare side is
this file with --bare: a trainer, its config and a dataset, with no callback, no checkpoint and nothing of evo. Without
--model the demo's model of 0.8 million weights is trained, where a fixed cost per step shows most. rft is no trainer of
TRL's and has no bare side.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
ADDITION = ROOT / "workspace_template" / "addition"
RECIPES = ("sft", "dpo", "kto", "orpo", "pretrain", "grpo", "rloo")
WANTED = 0.97
SEED = 42


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=ADDITION / "model")
    parser.add_argument("--recipes", nargs="+", choices=RECIPES, default=list(RECIPES))
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--bare", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.bare:
        bare(options.recipes[0], json.loads(options.bare.read_text()))
        return 0
    print(f"{platform.machine()}, {os.cpu_count()} cores, {options.model.name}, {device()}; best of {options.rounds}")
    print(f"{'recipe':10} {'bare':>9} {'evo':>9}  ratio")
    ratios = [compared(recipe, options) for recipe in options.recipes]
    return 0 if min(ratios) >= WANTED else 1


def device() -> str:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"


def compared(recipe: str, options: argparse.Namespace) -> float:
    """Print a line of the table; the ratio of the two best rates."""
    rates: dict[str, list[float]] = {"bare": [], "evo": []}
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        job = job_of(recipe, options, work)
        for turn in range(options.rounds):
            rates["bare"].append(rate([__file__, "--bare", str(job), "--recipes", recipe]))
            page = ROOT / "recipes" / recipe / "train.py"
            rates["evo"].append(rate([str(page), "--params", str(job), "--out", str(work / f"out{turn}")]))
    best = {side: max(values) for side, values in rates.items()}
    ratio = best["evo"] / best["bare"]
    mark = "" if ratio >= WANTED else f"  below {WANTED}"
    print(f"{recipe:10} {best['bare']:9.1f} {best['evo']:9.1f}  {ratio:.3f}{mark}", flush=True)
    return ratio


def rate(words: list[str]) -> float:
    """Samples per second, as the trainer of that process says them at its end."""
    env = {name: value for name, value in os.environ.items() if name != "EVO_JOB"}
    env |= {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1", "TRL_EXPERIMENTAL_SILENCE": "1"}
    done = subprocess.run([sys.executable, *words], env=env, capture_output=True, text=True, check=False)
    found = re.search(r"'train_samples_per_second': '?([\d.]+)", done.stdout)
    if done.returncode != 0 or found is None:
        raise SystemExit(f"{words[0]} failed:\n{done.stderr[-2000:]}")
    return float(found[1])


def job_of(recipe: str, options: argparse.Namespace, work: Path) -> Path:
    """What both sides read: the page's parameters at their defaults but for pace, and the rows."""
    from evo.workspace.params import apply_params
    from evo.workspace.recipes import load_recipe

    params = apply_params(load_recipe(None, ROOT / "recipes" / recipe).config, [])
    pace = {
        "max_steps": options.steps,
        "batch_size": options.batch,
        "max_length": 128,
        "epochs": 1000,
        "max_new_tokens": 8,
    }
    params |= {name: value for name, value in pace.items() if name in params}
    rows = work / "rows.jsonl"
    rows.write_text("".join(json.dumps(row) + "\n" for row in rows_of(recipe)))
    job = {
        "params": params,
        "data": {"train": str(rows)},
        "base_model": str(options.model.resolve()),
        "seed": SEED,
        "rewards": [{"name": "exact", "scorer": "exact"}] if recipe in ("grpo", "rloo") else [],
    }
    path = work / "job.json"
    path.write_text(json.dumps(job))
    return path


def rows_of(recipe: str) -> list[dict[str, Any]]:
    turns = [json.loads(line)["messages"] for line in (ADDITION / "train.jsonl").read_text().splitlines()]
    asked = [(question["content"], answer["content"]) for question, answer in turns]
    if recipe in ("dpo", "kto", "orpo"):
        return [{"prompt": sum_, "chosen": truth, "rejected": str(int(truth) + 1)} for sum_, truth in asked]
    if recipe == "pretrain":
        return [{"text": f"{sum_}{truth}"} for sum_, truth in asked]
    return [{"prompt": sum_, "target": truth} for sum_, truth in asked]


# --- the bare side ----------------------------------------------------------------------------------------------------


def bare(recipe: str, job: dict[str, Any]) -> None:
    """TRL's trainer on the rows of `job`, with the arguments that the page passes."""
    import trl
    from datasets import Dataset, disable_progress_bars
    from transformers import AutoModelForCausalLM, AutoTokenizer

    disable_progress_bars()
    p = job["params"]
    home = trl
    if recipe == "orpo":
        from trl.experimental import orpo as home
    kind = {"pretrain": "SFT"}.get(recipe, recipe.upper())
    rows = [json.loads(line) for line in Path(job["data"]["train"]).read_text().splitlines()]
    tokenizer = AutoTokenizer.from_pretrained(job["base_model"])
    more = {"reward_funcs": [is_exact]} if recipe in ("grpo", "rloo") else {}
    trainer = getattr(home, f"{kind}Trainer")(
        model=AutoModelForCausalLM.from_pretrained(job["base_model"], dtype="float32"),
        args=getattr(home, f"{kind}Config")(**common(p), **own(recipe, p)),
        train_dataset=Dataset.from_list([shaped for row in rows for shaped in shape(recipe, row)]),
        processing_class=tokenizer,
        **more,
    )
    trainer.train()


def is_exact(completions: list[list[dict[str, str]]], target: list[str], **_columns: object) -> list[float]:
    return [float(said[0]["content"].strip() == wanted) for said, wanted in zip(completions, target, strict=True)]


def shape(recipe: str, row: dict[str, Any]) -> list[dict[str, Any]]:
    """The row as the trainer's own documentation asks for it."""
    if recipe == "pretrain":
        return [row]
    asked = [{"role": "user", "content": row["prompt"]}]
    said = {key: [{"role": "assistant", "content": row[key]}] for key in ("target", "chosen", "rejected") if key in row}
    if recipe == "sft":
        return [{"prompt": asked, "completion": said["target"]}]
    if recipe == "kto":
        return [
            {"prompt": asked, "completion": said["chosen"], "label": True},
            {"prompt": asked, "completion": said["rejected"], "label": False},
        ]
    if recipe in ("grpo", "rloo"):
        return [{"prompt": asked, "target": row["target"]}]
    return [{"prompt": asked, **said}]


def common(p: dict[str, Any]) -> dict[str, Any]:
    import torch

    has_gpu = torch.cuda.is_available()
    cosine = p["scheduler"] == "cosine"
    return {
        "output_dir": tempfile.mkdtemp(),
        "learning_rate": p["learning_rate"],
        "lr_scheduler_type": "cosine_with_min_lr" if cosine else "constant_with_warmup",
        "lr_scheduler_kwargs": {"min_lr": min(p["min_learning_rate"], p["learning_rate"])} if cosine else {},
        "warmup_steps": p["warmup"],
        "weight_decay": p["weight_decay"],
        "max_steps": p["max_steps"],
        "per_device_train_batch_size": p["batch_size"],
        "gradient_accumulation_steps": p["gradient_accumulation"],
        "gradient_checkpointing": p["gradient_checkpointing"] and has_gpu,
        "use_cpu": not has_gpu,
        "bf16": has_gpu and torch.cuda.is_bf16_supported(),
        "dataloader_pin_memory": has_gpu,
        "seed": SEED,
        "data_seed": SEED,
        "logging_steps": p["logging_steps"],
        "disable_tqdm": True,
        "save_strategy": "no",
        "report_to": "none",
    }


def own(recipe: str, p: dict[str, Any]) -> dict[str, Any]:
    drawn = {
        "num_generations": p.get("group_size"),
        "temperature": p.get("temperature"),
        "top_p": p.get("top_p"),
        "max_completion_length": p.get("max_new_tokens"),
        "beta": p.get("beta"),
    }
    losses = {"loss_type": ["sigmoid", "sft"], "loss_weights": [1.0, p.get("sft_weight")]}
    return {
        "sft": lambda: {"max_length": p["max_length"]},
        "pretrain": lambda: {"max_length": p["max_length"], "packing": True, "packing_strategy": "wrapped"},
        "dpo": lambda: {"max_length": p["max_length"], "beta": p["beta"], **losses},
        "kto": lambda: {
            "max_length": p["max_length"],
            "beta": p["beta"],
            "desirable_weight": p["desirable_weight"],
            "undesirable_weight": p["undesirable_weight"],
        },
        "orpo": lambda: {"max_length": p["max_length"], "beta": p["beta"], "remove_unused_columns": False},
        "grpo": lambda: drawn | {"loss_type": p["loss_type"], "num_iterations": p["iterations"]},
        "rloo": lambda: drawn,
    }[recipe]()


if __name__ == "__main__":
    sys.exit(main())
