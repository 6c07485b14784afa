"""`evo demo`: a real workspace, real training runs, real certificates, on a model small enough for any machine.

Five techniques take turns: SFT with full weights and as a LoRA, DPO, GRPO, RFT.
Invariant: the script below fixes what is tried and in which order; parents are the default policy's choice, and scores,
certificates and the vault number are whatever evo measures. Nothing leaves the machine.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evo import assets
from evo.data.reader import read_rows
from evo.domain.experiment import ROOT
from evo.domain.views import CertificateView, NewView, VaultView
from evo.errors import Refused, UsageError
from evo.files import write_jsonl
from evo.ops.init import Initialised, InitRequest, init
from evo.ops.new import NewRequest, new
from evo.ops.progress import OnTick, silent
from evo.ops.release import release
from evo.ops.run import RunRequest, run
from evo.ops.sealing import GoldRequest
from evo.session import Session
from evo.store import experiments, gate_rows

Say = Callable[[str], None]
"""Called with one sentence for each thing that happened."""

SETTINGS = (
    ("name", "two-digit addition"),
    ("system-prompt", ""),
    ("eval.max-new-tokens", "6"),
    ("eval.batch-size", "150"),
    ("run.smoke", "never"),
    ("track", "none"),
)
COMMON = (
    "scheduler=linear",
    "warmup=0",
    "weight_decay=0",
    "lora_rank=16",
    "lora_alpha=32",
    "lora_dropout=0",
    "logging_steps=2",
)
OF_RECIPE = {
    "sft": ("batch_size=64", "max_length=128"),
    "dpo": ("batch_size=64", "max_length=128"),
    "grpo": ("batch_size=256", "gradient_accumulation=1", "max_new_tokens=6"),
    "rft": ("batch_size=128", "prompts=512", "sampling_batch=512", "max_new_tokens=6"),
}
PER_PROCESS = {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
"""One thread each: on two cores, more are slower."""


@dataclass(frozen=True)
class Edit:
    """A change of one file in the experiment's worktree: `old` occurs in it, and becomes `new`."""

    file: str
    old: str
    new: str


@dataclass(frozen=True)
class Trial:
    hypothesis: str
    settings: tuple[str, ...]
    recipe: str = "sft"
    edits: tuple[Edit, ...] = ()


CALM = Edit("recipe/recipe.yaml", "  patience: 2", "  every: 25\n  patience: 2")
"""Every trial has it: 32 sums every dozen steps are too noisy a reason to stop."""
OLD_NAME = Edit("recipe/train.py", "max_length=p.max_length", "max_seq_length=p.max_length")
"""What the option was called in older versions of TRL: a mistake that people make, and TRL refuses it."""

SCRIPT = (
    Trial(
        "a timid rate moves little but breaks nothing",
        ("method=lora", "learning_rate=5e-4", "max_steps=100"),
    ),
    Trial(
        "if more is better, far more is best",
        ("method=lora", "learning_rate=3e-2", "max_steps=60"),
    ),
    Trial(
        "its own measure as reward, eight answers a sum",
        ("learning_rate=3e-4", "max_steps=75", "group_size=8"),
        recipe="grpo",
    ),
    Trial(
        "rows cut short train faster",
        ("method=lora", "learning_rate=1e-3", "max_steps=100"),
        edits=(OLD_NAME,),
    ),
    Trial(
        "the right sum against the one that forgets to carry",
        ("learning_rate=3e-4", "max_steps=75"),
        recipe="dpo",
    ),
    Trial(
        "learn from its own right answers, and again",
        ("learning_rate=1e-3", "rounds=3", "steps_per_round=50", "k=8"),
        recipe="rft",
    ),
    Trial(
        "all weights on all examples, to polish",
        ("learning_rate=1e-3", "max_steps=150", "batch_size=128"),
    ),
)
"""Two of the seven must go wrong: the second forgets what the model knew, the fourth cannot start."""


@dataclass
class Grown:
    """What the demo made, beside the workspace itself."""

    picked_by: dict[str, str] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    certificates: dict[str, CertificateView] = field(default_factory=dict)
    committed: str | None = None
    vault: VaultView | None = None
    seconds: float = 0.0
    message: str = ""


def place(folder: Path | None) -> Path:
    """Where the demo goes: a new temporary folder, or `folder`, which must be absent or empty."""
    if folder is None:
        return Path(tempfile.mkdtemp(prefix="evo-demo-"))
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file", hint="name a folder, or none")
    if folder.is_dir() and any(folder.iterdir()):
        raise Refused(f"{folder} is not empty", hint="name a new folder, or none: evo demo takes a temporary one")
    return folder.resolve()


def lay_out(folder: Path) -> Initialised:
    """The workspace: the shipped model, its training rows and pairs of them, 600 gold items sealed 50/30/20."""
    shipped = assets.folder("workspace_template") / "addition"
    rows = [row.data for row in read_rows(shipped / "train.jsonl")]
    (folder / "data").mkdir(parents=True, exist_ok=True)
    write_jsonl(folder / "data" / "preferences.jsonl", [preference(row) for row in rows])
    return init(
        InitRequest(
            folder=folder,
            model=str(shipped / "model"),
            gold=GoldRequest(gold=shipped / "gold.jsonl", shares="50/30/20"),
            train=shipped / "train.jsonl",
            scorer="exact",
            settings=SETTINGS,
        )
    )


def preference(row: dict[str, Any]) -> dict[str, str]:
    """The sum of a training row against the one that forgets to carry, or is off by ten where nothing is carried."""
    question, answer = (turn["content"] for turn in row["messages"][-2:])
    first, second = (int(number) for number in question.rstrip("=").split("+"))
    forgetful = (first // 10 + second // 10) * 10 + (first + second) % 10
    wrong = forgetful if str(forgetful) != answer else forgetful + 10
    return {"prompt": question, "chosen": answer, "rejected": str(wrong)}


def grow(session: Session, say: Say, on_tick: OnTick = silent) -> Grown:
    """Baseline, every trial of the script, the vault. Experiments that fail are part of it."""
    began = time.monotonic()
    os.environ.update(PER_PROCESS)
    grown = Grown()
    run(session, RunRequest(ROOT), on_tick)
    say(f"{ROOT} the untouched model: {score_words(session, ROOT)}")
    for trial in SCRIPT:
        attempt(session, trial, grown, say, on_tick)
    conclude(session, grown, say, on_tick)
    grown.seconds = round(time.monotonic() - began, 1)
    return grown


def attempt(session: Session, trial: Trial, grown: Grown, say: Say, on_tick: OnTick) -> None:
    """Branch, edit, run: one experiment of the script."""
    made = new(session, NewRequest(trial.recipe, trial.hypothesis, settings=settings_of(trial))).views[0]
    grown.picked_by[made.id] = made.picked_by or ""
    say(f"{made.id} branches from {made.parent} ({made.picked_by}): {trial.hypothesis}")
    for edit in (CALM, *trial.edits):
        apply(edit, made)
    outcome = run(session, RunRequest(made.id), on_tick)
    if outcome.failure is not None:
        grown.failures[made.id] = gist(outcome.failure.message)
        say(grown.failures[made.id])
    else:
        say(f"{made.id} {score_words(session, made.id)}: {outcome.message}")
    for warning in outcome.warnings:
        say(f"{made.id} warning: {warning}")
    for certificate in gate_rows.certificates(session.db, made.id):
        grown.certificates[made.id] = CertificateView(
            certificate.against, certificate.passed, certificate.look, certificate.mode, certificate.isolation
        )


def gist(message: str) -> str:
    """The first and the last line of a message that ends with a traceback."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return ": ".join(lines[:1] + lines[1:][-1:])


def settings_of(trial: Trial) -> tuple[str, ...]:
    """The trial's settings over those of its recipe and of all."""
    names = {word.partition("=")[0] for word in trial.settings}
    shared = (*COMMON, *OF_RECIPE[trial.recipe])
    return (*(word for word in shared if word.partition("=")[0] not in names), *trial.settings)


def apply(edit: Edit, made: NewView) -> None:
    path = Path(made.worktree) / edit.file
    text = path.read_text(encoding="utf-8")
    if edit.old not in text:
        raise Refused(f"{path} holds no {edit.old!r}: the demo does not fit this recipe", hint="report it, please")
    path.write_text(text.replace(edit.old, edit.new), encoding="utf-8")


def conclude(session: Session, grown: Grown, say: Say, on_tick: OnTick) -> None:
    """Open the vault for the last committed experiment, if any was."""
    last = gate_rows.last_committed(session.db)
    if last == ROOT:
        grown.message = "nothing was certified: no experiment beat the base model on held-out; the vault stays shut"
        say(grown.message)
        return
    grown.committed = last
    view = release(session, None, on_tick)
    grown.vault = view.vault
    grown.message = view.message
    say(f"{view.message} [{view.vault.low:.3f}, {view.vault.high:.3f}]")


def score_words(session: Session, identifier: str) -> str:
    """`0.860 on dev (+0.170 over exp_0002)`."""
    found = experiments.get(session.db, identifier)
    if found.score_mean is None:
        return "no score"
    words = f"{found.score_mean:.3f} on dev"
    parent = experiments.get(session.db, found.parent) if found.parent else None
    if parent is not None and parent.score_mean is not None:
        words += f" ({found.score_mean - parent.score_mean:+.3f} against {parent.id})"
    return words
