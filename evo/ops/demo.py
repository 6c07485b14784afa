"""`evo demo`: a real workspace, real training runs, real certificates, on a model small enough for any machine.

Techniques take turns (SFT as a LoRA, GRPO, DPO, RFT), and then `evo loop` goes on alone with SFT of all weights.
Invariant: the script below fixes what is tried first and in which order; parents are the default policy's choice, and
the loop's moves, scores, certificates and the vault number are whatever evo finds. Nothing leaves the machine.
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
from evo.domain.loop import Loop, LoopOptions, Pick
from evo.domain.views import CertificateView, NewView, VaultView
from evo.errors import Refused, UsageError
from evo.files import write_jsonl, write_text
from evo.ops.init import Initialised, InitRequest, init
from evo.ops.judging.release import release
from evo.ops.judging.sealing import GoldRequest
from evo.ops.loop.drive import LoopRequest, loop
from evo.ops.new import NewRequest, new
from evo.ops.progress import OnTick, silent
from evo.ops.runs.run import RunRequest, run
from evo.session import Session
from evo.store import experiments, gate_rows
from evo.workspace import yamlfile
from evo.workspace.folders import copy_files

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
)
"""Two of the six must go wrong: the second forgets what the model knew, the fourth cannot start."""

SEARCH = LoopOptions(experiments=4, until="budget", workers=2, ideator="none", recipes=["sft"])
"""How the loop ends the demo: four children of what is best by then, two at a time."""
RANGES: dict[str, dict[str, Any]] = {
    "method": {"default": "full", "choices": ["full", "lora"]},
    "learning_rate": {"default": 1e-3, "search": [1e-4, 3e-2]},
    "batch_size": {"default": 64, "search": [32, 128]},
    "warmup": {"default": 0.0, "search": [0.0, 0.3]},
    "weight_decay": {"default": 0.0, "search": [0.0, 0.1]},
}
"""What the loop may move of the workspace's own copy of `sft`; all else keeps the value of `STAYS` or its default."""
STAYS = {"max_steps": 75, "max_length": 128, "scheduler": "linear", "lora_rank": 16, "lora_dropout": 0.0}


@dataclass
class Grown:
    """What the demo made, beside the workspace itself."""

    picked_by: dict[str, str] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    certificates: dict[str, CertificateView] = field(default_factory=dict)
    loop: Loop | None = None
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
    """The workspace: the shipped model, its training rows and pairs of them, 600 gold items sealed 50/30/20, and a copy
    of the recipe `sft` whose ranges suit a model of this size."""
    shipped = assets.folder("workspace_template") / "addition"
    rows = [row.data for row in read_rows(shipped / "train.jsonl")]
    (folder / "data").mkdir(parents=True, exist_ok=True)
    write_jsonl(folder / "data" / "preferences.jsonl", [preference(row) for row in rows])
    copy_files(assets.folder("recipes") / "sft", folder / "recipes" / "sft")
    narrow(folder / "recipes" / "sft" / "recipe.yaml", RANGES, STAYS)
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


def narrow(path: Path, ranges: dict[str, dict[str, Any]], stays: dict[str, Any]) -> None:
    """Let a recipe's parameters move within `ranges` alone; its comments stay."""
    text = path.read_text(encoding="utf-8")
    known = yamlfile.parse(text, path=path).data["params"]
    edits = {f"params.{name}.{key}": value for name, spec in ranges.items() for key, value in spec.items()}
    edits |= {f"params.{name}.tune": name in ranges for name in known}
    edits |= {f"params.{name}.default": value for name, value in stays.items()}
    for key, value in edits.items():
        text = yamlfile.with_value(text, key, value, path=path)
    write_text(path, text)


def preference(row: dict[str, Any]) -> dict[str, str]:
    """The sum of a training row against the one that forgets to carry, or is off by ten where nothing is carried."""
    question, answer = (turn["content"] for turn in row["messages"][-2:])
    first, second = (int(number) for number in question.rstrip("=").split("+"))
    forgetful = (first // 10 + second // 10) * 10 + (first + second) % 10
    wrong = forgetful if str(forgetful) != answer else forgetful + 10
    return {"prompt": question, "chosen": answer, "rejected": str(wrong)}


def grow(session: Session, say: Say, on_tick: OnTick = silent) -> Grown:
    """Baseline, every trial of the script, the loop, the vault. Experiments that fail are part of it."""
    began = time.monotonic()
    os.environ.update(PER_PROCESS)
    grown = Grown()
    run(session, RunRequest(ROOT), on_tick)
    say(f"{ROOT} the untouched model: {score_words(session, ROOT)}")
    for trial in SCRIPT:
        attempt(session, trial, grown, say, on_tick)
    search(session, grown, say)
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
    note_certificates(session, made.id, grown)


def note_certificates(session: Session, identifier: str, grown: Grown) -> None:
    for found in gate_rows.certificates(session.db, identifier):
        view = CertificateView(found.against, found.passed, found.look, found.mode, found.isolation)
        grown.certificates[identifier] = view


def search(session: Session, grown: Grown, say: Say) -> None:
    """`evo loop` goes on from what the script has left: it moves the parameters of `sft` by what the tree has shown."""

    def tell(event: str, _: Loop, message: str, pick: Pick | None) -> None:
        say(message if pick is not None else f"evo loop: {message}")
        if event == "ended" and pick is not None and pick.experiment is not None:
            note_certificates(session, pick.experiment, grown)
            if experiments.get(session.db, pick.experiment).state == "failed":
                grown.failures[pick.experiment] = gist(str(pick.told.get("message", "")))

    ended = loop(session, LoopRequest(SEARCH), tell)
    if ended.status == "stopped":
        raise KeyboardInterrupt
    grown.loop = ended


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
