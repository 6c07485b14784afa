"""Where training starts and what becomes of it: full weights, a LoRA on the base model, a LoRA merged first.

Invariant: a LoRA is never trained on top of another. An adapter of the same rank and alpha is continued, any other is
merged into its base first; and an adapter leaves here only where it sits on the base model itself.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import torch
from peft import LoraConfig, PeftConfig, PeftModel
from transformers import AutoConfig, AutoModelForCausalLM, BitsAndBytesConfig

from evo.recipe.checkpoints import COMPLETE
from evo.recipe.run import Run

_STATE_SUFFIXES = (".bin", ".pt", ".pth")
_STATE_FILES = (COMPLETE, "trainer_state.json", "README.md")


class Start(NamedTuple):
    """`fresh_adapter`: the LoRA to train on `model`, None where `model` holds the one that is continued, or none."""

    model: Any
    fresh_adapter: LoraConfig | None
    is_base: bool
    """The frozen weights under an adapter are those of the base model itself."""


def starting_point(run: Run, *, has_bf16: bool) -> Start:
    """The weights to train from, and the new adapter to train where `method` asks for one and none is continued."""
    p = run.params
    dtype = precision(run, has_bf16=has_bf16)
    fresh = None if p.method == "full" else _new_adapter(run)
    parent = run.seed_artifact if run.init_from != "base" else None
    if parent is None or not is_adapter(Path(parent)):
        source = parent or run.base_model
        return Start(load(source, dtype, quantized=p.method == "qlora"), fresh, is_base=source == run.base_model)
    adapter = PeftConfig.from_pretrained(parent)
    if fresh and (adapter.r, adapter.lora_alpha) == (fresh.r, fresh.lora_alpha):
        adapter.lora_dropout = fresh.lora_dropout
        base = load(run.base_model, dtype, quantized=p.method == "qlora")
        return Start(PeftModel.from_pretrained(base, parent, config=adapter, is_trainable=True), None, is_base=True)
    merged = start_weights(run, dtype)
    if p.method == "qlora":  # bitsandbytes quantises what it reads from a folder
        with tempfile.TemporaryDirectory(dir=run.folder) as folder:
            merged.save_pretrained(folder)
            return Start(load(folder, dtype, quantized=True), fresh, is_base=False)
    return Start(merged.requires_grad_(True), fresh, is_base=False)  # loading the adapter froze them


def start_weights(run: Run, dtype: torch.dtype) -> Any:
    """The full weights that this run starts from, an adapter of the parent merged into its base."""
    parent = run.seed_artifact if run.init_from != "base" else None
    if parent is None or not is_adapter(Path(parent)):
        return load(parent or run.base_model, dtype)
    return PeftModel.from_pretrained(load(run.base_model, dtype), parent).merge_and_unload()


def precision(run: Run, *, has_bf16: bool) -> torch.dtype:
    """Of the weights as they are loaded; an adapter on top of them is trained in float32 whatever this says."""
    if run.params.method == "full":
        return torch.float32  # a step at these rates is smaller than half precision can show
    wish = run.params.frozen_precision
    return torch.bfloat16 if wish == "bfloat16" or (wish == "auto" and has_bf16) else torch.float32


def is_adapter(folder: Path) -> bool:
    return (folder / "adapter_config.json").is_file()


def _new_adapter(run: Run) -> LoraConfig:
    p = run.params
    return LoraConfig(
        r=p.lora_rank,
        lora_alpha=p.lora_alpha,
        lora_dropout=p.lora_dropout,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )


def load(source: str | Path | None, dtype: torch.dtype, *, quantized: bool = False) -> Any:
    options: dict[str, Any] = {}
    if quantized:
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype,
        )
        options["device_map"] = {"": int(os.environ.get("LOCAL_RANK", "0"))}  # all of it on this process's own GPU
    return AutoModelForCausalLM.from_pretrained(source, dtype=dtype, use_safetensors=True, **options)


def refuse_qlora(*, has_gpu: bool) -> None:
    missing = [] if has_gpu else ["a CUDA GPU"]
    if importlib.util.find_spec("bitsandbytes") is None:
        missing.append("the package bitsandbytes")
    if missing:
        hint = "method=lora trains the same adapter on weights of full precision"
        raise SystemExit(f"method=qlora needs CUDA and bitsandbytes; missing: {' and '.join(missing)}. {hint}")


def merged(run: Run, adapter: Path, target: Path) -> Path:
    """Full weights in `target`: those that the run started from with its adapter added, as the base is stored."""
    shutil.rmtree(target, ignore_errors=True)
    whole = PeftModel.from_pretrained(start_weights(run, torch.float32), adapter).merge_and_unload()
    whole.to(stored_precision(run)).save_pretrained(target)
    return target


def stored_precision(run: Run) -> torch.dtype:
    return AutoConfig.from_pretrained(run.base_model).dtype or torch.float32


def link(weights: Path, target: Path) -> None:
    """Make `target` a folder of what a loader reads in `weights`, as hard links: a checkpoint without its optimizer."""
    draft = target.with_name(f".{target.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    for path in weights.iterdir():
        if path.is_file() and path.suffix not in _STATE_SUFFIXES and path.name not in _STATE_FILES:
            os.link(path, draft / path.name)
    shutil.rmtree(target, ignore_errors=True)
    draft.rename(target)
