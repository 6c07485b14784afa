"""The model that an evaluation asks, kept between one folder of weights and the next.

Invariant: after `take` the answers are those that a fresh process would give with the same folder. Architecture comes
from the base; tensors are read from safetensors only, and one that is missing is an error, not a random one. What is
warm is used again only where it cannot make a difference: equal names and shapes, a LoRA that leaves its base alone.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM

from evo.errors import EvoError, MissingExtra, RunFailed
from evo.evaluate.grading import InvalidResults
from evo.evaluate.prompts import load_config
from evo.evaluate.weights import is_adapter, pickled_weights, read_header, weight_files

Signature = tuple[tuple[str, int, int, int], ...]


class WarmModel:
    """The base's architecture, with the weights of the folder that was taken last."""

    def __init__(self, base: Path, *, dtype: Any, device: str) -> None:
        self._base = base
        self._dtype = dtype
        self._device = device
        self._plain: Any = None
        """Full weights; under an adapter, the base's."""
        self._plain_of: Signature = ()
        self._whole: Any = None
        self._whole_of: Signature = ()

    def take(self, folder: Path) -> Any:
        """The model with the weights in `folder`: full ones, or an adapter on the base. RunFailed where they misfit."""
        wanted = _signature(folder)
        if self._whole is not None and wanted == self._whole_of:
            return self._whole
        self._take_off()
        try:
            self._whole = self._adapted(folder) if is_adapter(folder) else self._full(folder)
        except EvoError:
            self._plain = None  # it may have been changed by half
            raise
        self._whole_of = wanted
        return self._whole

    def _take_off(self) -> None:
        """Bring `_plain` back from under an adapter, where that leaves it as it was."""
        whole, self._whole = self._whole, None
        if whole is None or whole is self._plain:
            return
        self._plain = whole.unload() if _leaves_base_alone(whole) else None

    def _full(self, folder: Path) -> Any:
        wanted = _signature(folder)
        if self._plain is None or (wanted != self._plain_of and not _swap(self._plain, folder)):
            self._plain = None  # its memory is free before the next one is loaded
            self._plain = _loaded(folder, config=load_config(self._base), dtype=self._dtype).to(self._device).eval()
        self._plain_of = wanted
        return self._plain

    def _adapted(self, folder: Path) -> Any:
        try:
            from peft import PeftModel  # half a second, which full weights do not pay
        except ModuleNotFoundError as error:
            raise MissingExtra("peft", "train") from error

        if not weight_files(folder):
            found = ", ".join(pickled_weights(folder)) or "nothing"
            raise InvalidResults(f"the adapter in {folder} has no adapter_model.safetensors (found: {found})")
        base = self._full(self._base)
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message="Found missing adapter keys")
            try:
                return PeftModel.from_pretrained(base, str(folder)).to(self._device).eval()
            except (OSError, ValueError, RuntimeError, UserWarning) as error:
                raise RunFailed(f"the adapter in {folder} does not fit the base model: {error}") from error


def _signature(folder: Path) -> Signature:
    """The files of weights in `folder` as they are now: a folder written anew is another one."""
    facts = [(path, path.stat()) for path in weight_files(folder)]
    return tuple((str(path), stat.st_ino, stat.st_size, stat.st_mtime_ns) for path, stat in facts)


def _leaves_base_alone(adapted: Any) -> bool:
    config = adapted.peft_config[adapted.active_adapter]
    changes = [config.modules_to_save, getattr(config, "trainable_token_indices", None)]
    is_plain = config.peft_type == "LORA" and config.bias == "none" and isinstance(config.init_lora_weights, bool)
    return is_plain and not any(changes)


def _loaded(folder: Path, *, config: Any, dtype: Any) -> Any:
    """Full weights as the architecture `config`. RunFailed where a tensor is missing or has another shape."""
    if not weight_files(folder):
        pickles = pickled_weights(folder)
        found = f"only pickled weights ({', '.join(pickles)}), which are not loaded" if pickles else "no weights"
        raise InvalidResults(f"{folder} holds {found}", hint="save them as safetensors: model.save_pretrained(folder)")
    try:
        model, info = AutoModelForCausalLM.from_pretrained(
            folder, config=config, dtype=dtype, use_safetensors=True, output_loading_info=True
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise RunFailed(f"the weights in {folder} cannot be loaded: {error}") from error
    missing = sorted(info["missing_keys"])
    if missing:
        what = f"{len(missing)} tensors of the base model: {missing[0]} first"
        raise InvalidResults(f"the weights in {folder} lack {what}")
    return model


def _swap(model: Any, folder: Path) -> bool:
    """Copy the tensors in `folder` over the model's own. False, and nothing done, where they are not one to one."""
    files = weight_files(folder)
    own = model.state_dict()
    given = {tensor.name: tensor.shape for path in files for tensor in read_header(path)}
    if not given or any(name not in own or tuple(own[name].shape) != shape for name, shape in given.items()):
        return False
    places = [own[name].data_ptr() for name in given]
    if len(set(places)) < len(places) or {tensor.data_ptr() for tensor in own.values()} != set(places):
        return False  # tied weights that are given twice, or one that is missing
    with torch.no_grad():
        for path in files:
            with safe_open(path, framework="pt") as tensors:
                for name in tensors.keys():  # noqa: SIM118  (a handle is no mapping)
                    own[name].copy_(tensors.get_tensor(name))
    return True
