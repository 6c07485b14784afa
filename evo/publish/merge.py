"""An adapter folded into its base: full weights, stored as the base is.

Invariant: `W + B·A` is computed in the base's own precision from an adapter in float32, so a 16-bit base gives a 16-bit
model that is rounded once. Adapter and base are read from safetensors only. This module loads torch and peft.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM
from transformers.utils import logging

from evo.errors import RunFailed

_TORCH = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}


def merge(adapter: Path, base: Path, to: Path, *, stored: str) -> None:
    """Full weights and config in `to`. `stored`: how safetensors names the base's precision (`BF16`).

    RunFailed where the adapter does not fit the base, or the base is stored in another precision (quantised).
    """
    if stored not in _TORCH:
        raise RunFailed(f"the base model is stored as {stored}, and an adapter is merged into 16 or 32 bits only")
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the libraries about themselves
        warnings.filterwarnings("error", message="Found missing adapter keys")
        try:
            model = AutoModelForCausalLM.from_pretrained(base, dtype=_TORCH[stored], use_safetensors=True)
            model = PeftModel.from_pretrained(model, str(adapter)).merge_and_unload()
        except (OSError, ValueError, RuntimeError, KeyError, UserWarning) as error:
            raise RunFailed(f"the adapter in {adapter} cannot be merged into {base}: {error}") from error
        model.save_pretrained(to)
