"""Weights that the warm server cannot take as they are: checked, merged, or served by a server of their own.

Invariant: the server never answers with tensors that were left over from earlier weights, so full weights are known
to be whole before they are loaded.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from evo.domain.job import EvalJob, ServerFacts
from evo.evaluate.grading import InvalidResults
from evo.evaluate.server.hold import Hold, Served
from evo.evaluate.weights import ADAPTER_CONFIG, is_adapter, pickled_weights, shape_differences, weight_files
from evo.files import read_json
from evo.lightdata import replace

_SETTINGS = ("use_dora", "modules_to_save", "rank_pattern", "alpha_pattern", "trainable_token_indices", "lora_bias")
"""Of a LoRA: what vLLM refuses, or leaves out without a word."""


def why_not_servable(adapter: Path, *, max_rank: int) -> str:
    """Why the server cannot lay this adapter over the base as PEFT does; empty where it can."""
    config = read_json(adapter / ADAPTER_CONFIG)
    if config.get("peft_type") != "LORA":
        return f"it is a {config.get('peft_type')} adapter"
    found = [name for name in _SETTINGS if config.get(name)]
    if found:
        return f"it uses {found[0]}"
    if config.get("bias", "none") != "none":
        return "it trains biases"
    if not isinstance(config.get("init_lora_weights", True), bool):
        return f"it was started by {config['init_lora_weights']}"
    rank = int(config.get("r", 0))
    return f"its rank {rank} is above server.max-lora-rank {max_rank}" if rank > max_rank else ""


def check_whole(folder: Path, base: Path) -> None:
    """InvalidResults where there are no weights, or full ones are not the base's tensors, name by name."""
    if not weight_files(folder):
        pickles = pickled_weights(folder)
        found = f"only pickled weights ({', '.join(pickles)}), which are not loaded" if pickles else "no weights"
        raise InvalidResults(f"{folder} holds {found}", hint="save them as safetensors: model.save_pretrained(folder)")
    faults = [] if is_adapter(folder) else shape_differences(folder, base)
    if faults:
        raise InvalidResults(f"the weights in {folder} are not the base model's tensors: {faults[0]}")


def merged(job: EvalJob, adapter: Path, digest: str) -> Path:
    """Full weights of an adapter that cannot be laid over the base, in the evaluation's own folder."""
    import torch

    from evo.evaluate.models import WarmModel  # with torch, which most evaluations by a server do not pay

    folder = Path(job.out_dir) / f"merged-{digest[:16]}"
    if not (folder / "config.json").is_file():
        shutil.rmtree(folder, ignore_errors=True)
        base = Path(job.base_model or job.model)
        whole: Any = WarmModel(base, dtype=getattr(torch, job.dtype), device="cpu").take(adapter)
        whole.merge_and_unload().save_pretrained(folder)
    return folder


@contextlib.contextmanager
def weights_alone(folder: Path, base: Path, *, beside: Path) -> Iterator[Path]:
    """Links to the tensors that have the hash, beside the base's config and tokenizer.

    In `folder` itself vLLM would read every safetensors file that lies there, and a tokenizer too.
    """
    stage = beside / f"stage-{os.urandom(6).hex()}"
    stage.mkdir(parents=True)
    if is_adapter(folder):
        taken = [folder / ADAPTER_CONFIG]
    else:
        taken = [path for path in base.iterdir() if ".safetensors" not in path.name]
        taken += folder.glob("*.safetensors.index.json")
    for path in (*taken, *weight_files(folder)):
        os.symlink(path.absolute(), stage / path.name)
    try:
        yield stage
    finally:
        shutil.rmtree(stage, ignore_errors=True)


@contextlib.contextmanager
def own_server(facts: ServerFacts, model: Path, digest: str) -> Iterator[Served]:
    """A server that was started with the full weights in `model`, for one evaluation. It ends with its folder."""
    root = Path(facts.folder).with_name(f"{Path(facts.folder).name}-{digest[:16]}")
    hold = Hold(replace(facts, folder=str(root), base_model=str(model), weights=digest, idle_s=0.0), dict(os.environ))
    try:
        yield hold.ready()
    finally:
        hold.release()
    shutil.rmtree(root, ignore_errors=True)
