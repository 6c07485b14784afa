"""Which learning rate to begin with: a formula for the families it was fitted to, and no guess for the others.

LoRA, from Tinker's documentation (thinkingmachines, "LoRA hyperparameters"): 5e-5 · 10 · (2000 / H)^P with H the hidden
size and P fitted to each family; it does not depend on the rank.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from evo.domain.upkeep_views import RateAdvice
from evo.errors import FileFormatError, MissingExtra, NotFound, UsageError
from evo.files import read_json

_EXPONENT = {"llama": 0.781, "qwen2": 0.0775, "qwen2_moe": 0.0775, "qwen3": 0.0775, "qwen3_moe": 0.0775}
"""By `model_type` of config.json: Llama's family and Qwen's."""


def lora_learning_rate(family: str, hidden_size: int) -> float:
    """The rate to begin a LoRA with. UsageError for a family that the formula was not fitted to."""
    if family not in _EXPONENT:
        hint = "sweep it: evo new … --grid lr=5e-5,2e-4,5e-4"
        raise UsageError(f"there is no learning-rate advice for {family} models, only for Llama and Qwen", hint=hint)
    return 5e-5 * 10 * float((2000 / hidden_size) ** _EXPONENT[family])


def advise(model: str) -> RateAdvice:
    """What the formula says of a model in a folder or of a hub id; the reason where it says nothing."""
    path = _config_of(model)
    config = read_json(path)
    family, size = config.get("model_type"), config.get("hidden_size")
    if not isinstance(family, str):
        raise FileFormatError(path, "names no model_type", field="model_type")
    try:
        if not isinstance(size, int) or size < 1:
            raise UsageError(f"{path} names no hidden_size: there is no learning-rate advice without one")
        return RateAdvice(model, family, size, lora_learning_rate(family, size), "")
    except UsageError as error:
        return RateAdvice(model, family, size if isinstance(size, int) else None, None, error.message)


def _config_of(model: str) -> Path:
    folder = Path(model).expanduser()
    if folder.is_dir() and (folder / "config.json").is_file():
        return folder / "config.json"
    if folder.exists() or model.startswith((".", "/", "~")) or model.count("/") != 1:
        raise NotFound(f"{model} is no folder with a config.json", hint="name a model's folder, or a hub id ORG/NAME")
    try:
        hub: Any = import_module("huggingface_hub")
        hub_errors: Any = import_module("huggingface_hub.errors")
    except ImportError:
        raise MissingExtra("huggingface_hub", "train") from None
    name, _, revision = model.partition("@")
    try:
        return Path(hub.hf_hub_download(name, "config.json", revision=revision or None))
    except (hub_errors.HfHubHTTPError, hub_errors.HFValidationError, ValueError, OSError) as error:
        reason = str(error).strip().split("\n")[0][:200]
        hint = "check the name and the network, or name a local folder"
        raise NotFound(f"the hub did not give the config.json of {model} ({reason})", hint=hint) from None
