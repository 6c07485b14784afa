"""What all pages on TRL's trainers do alike: where they start, how they are paced, what they keep and hand over.

    setup = training.begin(run)
    trainer = SFTTrainer(model=setup.model, args=SFTConfig(**setup.arguments()), callbacks=[setup.progress], …)
    training.fit(trainer, setup)

Prompts are built as the evaluation builds them: the pinned chat template and system prompt. The start is the base model
or the parent's output. A LoRA is never trained on top of another: an adapter of the same rank and alpha is continued,
any other is merged into its base first; an adapter that sits on anything but the base model is handed over merged.

Invariant: what is handed over is a checkpoint as it was saved, the best by its mid-evaluations (the last where there
are none), in the precision of the base; a second start goes on from the last complete checkpoint. Of several processes
rank 0 alone writes and evaluates, and all of them act on what it saw.
"""

from __future__ import annotations

import copy
import os
import shutil
import sys
from dataclasses import dataclass
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # no telemetry, no look at a newer model
os.environ.setdefault("TQDM_DISABLE", "1")  # bars do not belong in a log
os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")

import torch
from datasets import disable_progress_bars
from peft import LoraConfig, PeftModel
from transformers import AutoConfig, AutoTokenizer, set_seed

from evo.recipe.checkpoints import step_of
from evo.recipe.progress import Progress
from evo.recipe.ranks import agreed
from evo.recipe.run import Run
from evo.recipe.weights import is_adapter, link, load, merged, refuse_qlora, starting_point, stored_precision

SMOKE_ROWS = 10
SMOKE_STEPS = 4
_SCHEDULES = {"cosine": "cosine_with_min_lr", "linear": "linear", "constant": "constant_with_warmup"}


@dataclass(frozen=True)
class Setup:
    """One page's beginning. `progress` goes into the trainer's callbacks, `arguments()` into its config."""

    run: Run
    tokenizer: Any
    model: Any
    fresh_adapter: LoraConfig | None
    is_base: bool
    has_gpu: bool
    has_bf16: bool
    progress: Progress

    def rows(self, *needed: str, role: str = "train") -> list[dict[str, Any]]:
        """The rows of a data role; a trial run takes the first ten. SystemExit for one without a `needed` field."""
        found = list(self.run.rows(role))
        for number, row in enumerate(found, start=1):
            if missing := [name for name in needed if name not in row]:
                raise SystemExit(
                    f"{self.run.data(role)}, row {number}: has no {missing[0]!r}; this recipe learns from"
                    f" {', '.join(needed)} (`map` of its data source renames fields)"
                )
        return found[:SMOKE_ROWS] if self.run.is_smoke else found

    def reference(self) -> Any:
        """A frozen copy of the starting weights for losses that compare with them; None under an adapter.

        Under a new adapter the trainer switches that off; of a continued one it keeps the first state.
        """
        is_adapted = self.fresh_adapter is not None or isinstance(self.model, PeftModel)
        return None if is_adapted else copy.deepcopy(self.model).requires_grad_(False)

    def arguments(self, **own: Any) -> dict[str, Any]:
        """What every TRL config takes from the shared parameters; `own` is added and wins."""
        p, smoke = self.run.params, self.run.is_smoke
        min_lr = {"min_lr": min(p.min_learning_rate, p.learning_rate)} if p.scheduler == "cosine" else {}
        shared = {
            "output_dir": str(self.run.checkpoint_dir),
            "learning_rate": p.learning_rate,
            "lr_scheduler_type": _SCHEDULES[p.scheduler],
            "lr_scheduler_kwargs": min_lr,
            "warmup_steps": p.warmup,
            "weight_decay": p.weight_decay,
            "num_train_epochs": p.epochs,
            "max_steps": SMOKE_STEPS if smoke else p.max_steps or -1,
            "per_device_train_batch_size": p.batch_size,
            "gradient_accumulation_steps": p.gradient_accumulation,
            "gradient_checkpointing": p.gradient_checkpointing and self.has_gpu,
            "use_cpu": not self.has_gpu,
            "bf16": self.has_bf16,
            "dataloader_pin_memory": self.has_gpu,
            "ddp_find_unused_parameters": False,
            "ddp_timeout": 24 * 3600,  # the other ranks wait while rank 0 has a checkpoint evaluated
            "seed": self.run.seed,
            "data_seed": self.run.seed,
            "logging_steps": 1 if smoke else p.logging_steps,
            "logging_first_step": True,
            "logging_nan_inf_filter": False,
            "disable_tqdm": True,
            "save_strategy": "steps",
            "save_steps": 10**9,  # Progress says when, once it knows how long an epoch is
            "save_total_limit": 2,  # one is whole while the other is written
            "report_to": "none",
        }
        return shared | own


def begin(run: Run) -> Setup:
    """Tokenizer with the pinned template, and the weights to start from. SystemExit where a run cannot start."""
    if run.base_model is None:
        raise SystemExit("this workspace has no base model: evo config set model.source PATH")
    has_gpu = torch.cuda.is_available()
    if run.params.method == "qlora":
        refuse_qlora(has_gpu=has_gpu)
    disable_progress_bars()
    set_seed(run.seed)
    tokenizer = AutoTokenizer.from_pretrained(run.base_model)
    tokenizer.chat_template = run.chat_template or tokenizer.chat_template
    if not tokenizer.chat_template:
        raise SystemExit(f"{run.base_model} has no chat template: pin one with `evo init --chat-template FILE`")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    has_bf16 = has_gpu and torch.cuda.is_bf16_supported()
    start = starting_point(run, has_bf16=has_bf16)
    progress = Progress(run, is_base=start.is_base)
    return Setup(run, tokenizer, *start, has_gpu=has_gpu, has_bf16=has_bf16, progress=progress)


def fit(trainer: Any, setup: Setup, *, merge: bool = False) -> None:
    """Train to the end, or on from where an earlier start was cut off, and hand over the best checkpoint.

    `merge`: hand over full weights where a LoRA was trained on the base model.
    """
    resume = agreed(setup.run.resume_from)
    if resume is None or not setup.progress.take_up(resume):
        trainer.train(resume_from_checkpoint=None if resume is None else str(resume))
    if setup.run.is_main:
        finish(setup, merge=merge)
    agreed(None)


def finish(setup: Setup, *, merge: bool = False) -> None:
    """Hand over the best checkpoint, and declare those that others may start from. For rank 0."""
    run, progress = setup.run, setup.progress
    last = run.resume_from
    if last is None:
        raise RuntimeError("training ended without a checkpoint")
    scores = run.mid_scores
    is_judged = bool(scores) and scores[-1].step == step_of(last) and progress.best.is_dir()
    if scores and not is_judged:
        sys.stderr.write(f"step {step_of(last)} was not evaluated: it is handed over because it is the last\n")
    chosen, step = (progress.best, max(s.step for s in scores if s.is_best)) if is_judged else (last, step_of(last))
    output = run.folder / "handover"
    shutil.rmtree(output, ignore_errors=True)
    if is_adapter(chosen) and (merge or not setup.is_base):
        merged(run, chosen, output)
    elif is_adapter(chosen) or AutoConfig.from_pretrained(chosen).dtype == stored_precision(run):
        link(chosen, output)
    else:  # in half the bytes where the base is stored in half precision
        load(chosen, stored_precision(run)).save_pretrained(output)
    setup.tokenizer.save_pretrained(output)
    artifacts = {folder.name: folder for folder in sorted(progress.steps.glob("step-*"))} if is_judged else {}
    run.finish(output, {**artifacts, f"step-{step}": output} if is_judged else artifacts)
    if run.fidelity is None:  # else the full run goes on from here
        for folder in (run.checkpoint_dir, progress.best, run.folder / "merged"):
            shutil.rmtree(folder, ignore_errors=True)
