"""What a warm mid-evaluation saves: from the question of a training page to its answer, warm against cold.

    python benchmarks/mid_eval.py [--model DIR] [--items 32] [--checkpoints 5] [--vllm PYTHON] [--max-new-tokens 6]

Asked as pages ask (`mid/NNNNNN.want.json`) and answered by `python -m evo.evaluate --mid`. Cold: every checkpoint has
an evaluator of its own, and with vLLM a server of its own. Warm: one evaluator, and one server, answer one checkpoint
after the other; the first answer is left out. Checkpoints are adapters and full weights near the base, the latter of
the model with an output layer of its own: on a CPU vLLM cannot swap tied embeddings, and each such checkpoint has a
cold server (docs/decisions/0008). Medians of seconds; 5 is the ratio to reach.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

from evo.domain.job import AttemptFolder, EvalJob, ServerFacts
from evo.domain.service import ServiceFolder
from evo.evaluate.server.place import has_keeper, state_of
from evo.files import sha256_file, write_json
from evo.validation import plain

ROOT = Path(__file__).resolve().parents[1]
ADDITION = ROOT / "workspace_template" / "addition"
WANTED = 5.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=ADDITION / "model")
    parser.add_argument("--data", type=Path, default=ADDITION / "gold.jsonl")
    parser.add_argument("--items", type=int, default=32)
    parser.add_argument("--checkpoints", type=int, default=5)
    parser.add_argument("--max-new-tokens", type=int, default=6)
    parser.add_argument("--vllm", default="", help="an interpreter with vLLM; without it hf alone is measured")
    options = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, {options.model.name}, {options.items} items")
    print(f"{'engine':8} {'weights':8} {'cold s':>8} {'warm s':>8}  ratio")
    with tempfile.TemporaryDirectory() as folder:
        base = with_output_layer(options.model, Path(folder) / "base")
        made = checkpoints(base, Path(folder), count=options.checkpoints)
        ratios = [
            compared(engine, kind, made[kind], Bench(Path(folder) / f"{engine}-{kind}", base, options))
            for engine in ("hf", *(["vllm"] if options.vllm else []))
            for kind in made
        ]
    return 0 if min(ratios) >= WANTED else 1


def compared(engine: str, kind: str, weights: list[Path], bench: Bench) -> float:
    """Print a line of the table; the ratio of the two medians."""
    cold = statistics.median(bench.seconds(engine, [one], f"cold-{n}")[0] for n, one in enumerate(weights[:3]))
    warm = statistics.median(bench.seconds(engine, weights, "warm")[1:])
    print(f"{engine:8} {kind:8} {cold:8.2f} {warm:8.2f}  {cold / warm:.1f}", flush=True)
    return cold / warm


class Bench:
    """Asks a mid-evaluator, as the page of a run would, and ends it with what it started."""

    def __init__(self, root: Path, base: Path, options: argparse.Namespace) -> None:
        self._root = root
        self._base = base
        self._options = options

    def seconds(self, engine: str, weights: list[Path], name: str) -> list[float]:
        """From question to answer, one for each checkpoint; the start of the evaluator is part of the first."""
        folder = AttemptFolder(self._root / name)
        folder.mid_dir.mkdir(parents=True)
        server = self._server(folder.root / "server") if engine == "vllm" else None
        write_json(folder.mid_job, plain(self._job(engine, folder, server)))
        began = time.perf_counter()
        argv = [sys.executable, "-P", "-m", "evo.evaluate", "--mid", str(folder.root), sha256_file(folder.mid_job)]
        env = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", **os.environ}
        with (folder.root / "mid.log").open("w") as log:
            process = subprocess.Popen(argv, stdout=log, stderr=log, env=env)
        try:
            took = []
            for step, one in enumerate(weights, start=1):
                self._answer(folder, step, one, process)
                took.append(time.perf_counter() - began)
                began = time.perf_counter()
            return took
        finally:
            process.kill()
            process.wait()
            if server is not None:
                end_server(ServiceFolder(Path(server.folder)))

    def _answer(self, folder: AttemptFolder, step: int, weights: Path, process: subprocess.Popen[bytes]) -> None:
        write_json(folder.mid_dir / f"{step:06d}.want.json", {"step": step, "model": str(weights)})
        while not (folder.mid_dir / f"{step:06d}.json").exists():
            if process.poll() is not None:
                raise SystemExit((folder.root / "mid.log").read_text())
            time.sleep(0.01)

    def _job(self, engine: str, folder: AttemptFolder, server: ServerFacts | None) -> EvalJob:
        items = folder.root / "items.jsonl"
        lines = self._options.data.read_text().splitlines()[: self._options.items]
        items.write_text("".join(line + "\n" for line in lines))
        (folder.root / "pinned").mkdir()
        generation: dict[str, Any] = {"max_new_tokens": self._options.max_new_tokens, "batch_size": 64}
        return EvalJob(
            split="mid",
            eval_hash="benchmark",
            backend=engine,
            items=str(items),
            model="",
            base_model=str(self._base),
            out_dir=str(folder.root / "out"),
            pinned_dir=str(folder.root / "pinned"),
            scorer="exact",
            generation=generation,
            server=server,
        )

    def _server(self, folder: Path) -> ServerFacts:
        return ServerFacts(str(folder), self._options.vllm, str(self._base), "base", idle_s=600.0)


def end_server(place: ServiceFolder) -> None:
    """As its keeper ends it when it is idle, and wait for that."""
    os.kill(state_of(place).keeper, signal.SIGTERM)
    while has_keeper(place):
        time.sleep(0.05)


def with_output_layer(model: Path, folder: Path) -> Path:
    """The same model with untied embeddings."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(model, folder)
    tensors = load_file(folder / "model.safetensors")
    tensors.setdefault("lm_head.weight", tensors["model.embed_tokens.weight"].clone())
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": False}))
    return folder


def checkpoints(model: Path, folder: Path, *, count: int) -> dict[str, list[Path]]:
    """Adapters and full weights as a run's checkpoints are: near the base, each different."""
    import torch
    from peft import LoraConfig, get_peft_model
    from safetensors.torch import load_file, save_file
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    warnings.simplefilter("ignore")
    made: dict[str, list[Path]] = {"lora": [], "full": []}
    for number in range(count):
        torch.manual_seed(number)
        whole = AutoModelForCausalLM.from_pretrained(model)
        adapted = get_peft_model(whole, LoraConfig(r=16, lora_alpha=32, target_modules="all-linear"))
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.01)
        made["lora"].append(folder / f"lora-{number}")
        adapted.save_pretrained(made["lora"][-1])
        copy = Path(shutil.copytree(model, folder / f"full-{number}"))
        tensors = load_file(copy / "model.safetensors")
        near = {name: tensor + 0.001 * torch.randn_like(tensor) for name, tensor in tensors.items()}
        save_file(near, copy / "model.safetensors", metadata={"format": "pt"})
        made["full"].append(copy)
    return made


if __name__ == "__main__":
    sys.exit(main())
