"""The environment of a training process: named variables and evo's own, nothing else of the caller's.

Invariant: a secret reaches a run only if `env.pass` names it, and no path of held-out or vault is in any value.
HOME and TMPDIR lie inside the attempt's folder; earlier downloads from Hugging Face are found by its cache variables.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from evo.domain.job import AttemptFolder, RunFacts

_ORDINARY = {
    *("LANG", "LANGUAGE", "TZ", "TERM", "NO_COLOR", "USER", "LOGNAME", "CC", "CXX"),
    *("LD_LIBRARY_PATH", "PYTHONPATH", "VIRTUAL_ENV", "CONDA_PREFIX", "KMP_AFFINITY"),
    *("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_CACHE", "HF_DATASETS_CACHE"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "TRL_EXPERIMENTAL_SILENCE"),
}
_ORDINARY_PREFIXES = (
    *("LC_", "CUDA", "NVIDIA_", "NCCL_", "ROCM_", "HIP_", "OMP_", "MKL_", "OPENBLAS_", "NUMEXPR_"),
    *("TOKENIZERS_", "PYTORCH_", "TORCH_", "TRITON_", "VLLM_", "ACCELERATE_"),
)
_SECRET_ENDINGS = ("_KEY", "_TOKEN", "_SECRET", "_PASSWORD", "_CREDENTIALS")


def ordinary_environment(ambient: Mapping[str, str], *, passed: Iterable[str], interpreter: Path) -> dict[str, str]:
    """What training and evaluation may see of the caller's variables.

    `passed`: `env.pass` of evo.yaml. `interpreter`: its folder leads PATH, so that `python` is this one.
    """
    named = set(passed)
    kept = {name: value for name, value in ambient.items() if name in named or _is_ordinary(name)}
    default_cache = Path(ambient.get("HOME", "/nonexistent")) / ".cache" / "huggingface"
    downloads = Path(ambient.get("HF_HOME", default_cache))
    return {
        "HF_HUB_CACHE": str(downloads / "hub"),
        "HF_DATASETS_CACHE": str(downloads / "datasets"),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "DO_NOT_TRACK": "1",
        "PYTHONUNBUFFERED": "1",
        **kept,
        "PATH": os.pathsep.join([str(interpreter.parent), ambient.get("PATH", os.defpath)]),
    }


def run_environment(
    facts: RunFacts, folder: AttemptFolder, *, worktree: Path, tree: str, ordinary: Mapping[str, str]
) -> dict[str, str]:
    """The whole environment of a training process. `tree` (`sums-3fa2c1`) is the wandb group, in the project `sums`."""
    start = facts.seed_artifact or ""
    environment = {
        **ordinary,
        **_wandb(facts, folder, tree),
        "HOME": str(folder.home),
        "TMPDIR": str(folder.tmp),
        "EVO_JOB": str(folder.root),
        "EVO_EXPERIMENT_ID": facts.experiment,
        "EVO_ATTEMPT": str(facts.attempt),
        "EVO_WORKTREE": str(worktree),
        "EVO_DATASET": facts.data.get("train", ""),
        "EVO_SEED_ARTIFACT": start,
        "EVO_PARENT_POLICY": start,
        "EVO_CHECKPOINT_DIR": facts.output_dir,
        "EVO_TRACES_DIR": str(folder.traces),
        "EVO_RESULT_PATH": str(folder.traces / "claimed.json"),
    }
    if facts.is_smoke:
        environment["EVO_SMOKE"] = "1"
    if "WANDB_API_KEY" not in environment:
        environment.setdefault("WANDB_MODE", "offline")  # without a key wandb would ask for one, or fail the run
    return environment


def make_folders(folder: AttemptFolder) -> None:
    """The folders that the environment names, and the evaluator's."""
    for path in (folder.output, folder.traces, folder.home, folder.tmp, folder.eval_dir):
        path.mkdir(parents=True, exist_ok=True)


def _wandb(facts: RunFacts, folder: AttemptFolder, tree: str) -> dict[str, str]:
    return {
        "WANDB_PROJECT": tree.rpartition("-")[0] or tree,
        "WANDB_RUN_GROUP": tree,
        "WANDB_RUN_ID": f"{tree}-{facts.experiment.replace('_', '-')}-a{facts.attempt}",
        "WANDB_NAME": facts.experiment,
        "WANDB_DIR": str(folder.home),
    }


def _is_ordinary(name: str) -> bool:
    if name.endswith(_SECRET_ENDINGS):
        return False
    return name in _ORDINARY or name.startswith(_ORDINARY_PREFIXES)
