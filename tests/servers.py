"""What tests of the warm server share: items, weights, and what they ask of the operating system."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from evo.domain.item import parse_item
from evo.domain.service import ServiceFolder
from evo.evaluate.backends.vllm import VllmBackend
from evo.evaluate.server.place import state_of

ROWS = [{"id": str(number), "prompt": "1" * number + "+1=", "target": ""} for number in range(1, 8)]
ITEMS = [parse_item(row) for row in ROWS]
GREEDY = {"max_new_tokens": 24, "batch_size": 3}


def end(place: ServiceFolder) -> None:
    """Leave nothing behind, whatever a test did."""
    state = state_of(place)
    for pid in {state.keeper, *members(state.session)} - {0, 1, os.getpid()}:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def members(session: int) -> set[int]:
    """Living processes of a session that a keeper has named."""
    found: set[int] = set()
    if session <= 1:
        return found
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) == session and fields[0] != "Z":
                found.add(int(entry.name))
    return found


def until(claim: Callable[[], bool], *, seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not claim():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.05)


def digest(folder: Path) -> str:
    name = "adapter_model.safetensors" if (folder / "adapter_config.json").exists() else "model.safetensors"
    return hashlib.sha256((folder / name).read_bytes()).hexdigest()[:8]


def answered_by(backend: VllmBackend, folder: Path) -> set[str]:
    """The weights that the answers name."""
    answers = list(backend.answers(ITEMS, folder))
    assert sorted(answer.item.id for answer in answers) == [row["id"] for row in ROWS]
    return {answer.output.partition("|")[0] for answer in answers}


def other_weights(folder: Path, base: Path, *, scale: float) -> Path:
    shutil.copytree(base, folder)
    tensors = load_file(folder / "model.safetensors")
    tensors["model.norm.weight"] *= scale
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def adapter(folder: Path, base: Path, *, fill: float = 0.1, **settings: object) -> Path:
    model = AutoModelForCausalLM.from_pretrained(base)
    adapted = get_peft_model(model, LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"], **settings))
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            parameter.data.fill_(fill)
    adapted.save_pretrained(folder)
    return folder
