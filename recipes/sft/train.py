"""Supervised fine-tuning: learn to give the answers of the training rows (TRL's SFTTrainer; full weights or LoRA).

Prompts are built as the evaluation builds them: the pinned chat template, the system prompt first. Only the assistant's
tokens are learned: of every turn where the chat template marks them with {% generation %}, else of the last turn.

The start is the base model or the parent's output. A LoRA is never trained on top of another: an adapter of the same
rank and alpha is continued, any other is merged into its base first. An adapter is saved only where it sits on the base
model itself; one that was trained on anything else is merged, and the full weights are saved.
"""

from __future__ import annotations

import math
import os
import re
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # no telemetry, no look at a newer model
os.environ.setdefault("TQDM_DISABLE", "1")  # bars do not belong in a log

import torch
from datasets import Dataset, disable_progress_bars
from peft import LoraConfig, PeftConfig, PeftModel
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, TrainerCallback
from trl import SFTConfig, SFTTrainer

from evo import recipe


class Start(NamedTuple):
    model: PreTrainedModel | PeftModel
    fresh_adapter: LoraConfig | None
    is_base: bool
    """The frozen weights under an adapter are those of the base model itself."""


class Metrics(TrainerCallback):
    """Hands what the trainer measures to evo, and ends a run that has diverged."""

    def __init__(self, run: recipe.Run) -> None:
        self.run = run

    def on_log(self, _args, state, _control, logs=None, **_others) -> None:
        if not logs or "loss" not in logs:
            return
        names = ("loss", "learning_rate", "grad_norm", "mean_token_accuracy", "epoch")
        values = {name: float(logs[name]) for name in names if name in logs}
        self.run.log(step=state.global_step, tokens=int(logs.get("num_tokens", 0)), **values)
        if not math.isfinite(values["loss"]):
            raise RuntimeError(f"the loss is {values['loss']} at step {state.global_step}: lower learning_rate")


def main() -> None:
    run = recipe.current()
    if run.base_model is None:
        raise SystemExit("this workspace has no base model: evo config set model.source PATH")
    tokenizer = AutoTokenizer.from_pretrained(run.base_model)
    tokenizer.chat_template = run.chat_template or tokenizer.chat_template
    if not tokenizer.chat_template:
        raise SystemExit(f"{run.base_model} has no chat template: pin one with `evo init --chat-template FILE`")

    has_gpu = torch.cuda.is_available()
    has_bf16 = has_gpu and torch.cuda.is_bf16_supported()
    start = starting_point(run, dtype=precision(run.params, has_bf16=has_bf16))
    examples, has_marked_turns = dataset(run, tokenizer.chat_template)
    trainer = SFTTrainer(
        model=start.model,
        args=settings(run, has_gpu=has_gpu, has_bf16=has_bf16, has_marked_turns=has_marked_turns),
        train_dataset=examples,
        processing_class=tokenizer,
        peft_config=start.fresh_adapter,
        callbacks=[Metrics(run)],
    )
    trainer.train()

    model = trainer.accelerator.unwrap_model(trainer.model)
    if isinstance(model, PeftModel) and not start.is_base:
        model = model.merge_and_unload()
    if not isinstance(model, PeftModel):  # stored as the base is, in half the bytes where that is half precision
        model.to(AutoConfig.from_pretrained(run.base_model).dtype or torch.float32)
    if run.is_main:
        model.save_pretrained(run.output_dir)
        tokenizer.save_pretrained(run.output_dir)
    run.finish(run.output_dir)


def precision(p: recipe.Params, *, has_bf16: bool) -> torch.dtype:
    """Of the weights as they are loaded; an adapter on top of them is trained in float32 whatever this says."""
    if p.method == "full":
        return torch.float32  # a step at these rates is smaller than half precision can show
    wish = p.frozen_precision
    return torch.bfloat16 if wish == "bfloat16" or (wish == "auto" and has_bf16) else torch.float32


def starting_point(run: recipe.Run, *, dtype: torch.dtype) -> Start:
    """The weights to train from, and the new adapter to train where `method` is lora and none is continued."""
    p = run.params
    fresh = None
    if p.method == "lora":
        fresh = LoraConfig(
            r=p.lora_rank,
            lora_alpha=p.lora_alpha,
            lora_dropout=p.lora_dropout,
            target_modules="all-linear",
            task_type="CAUSAL_LM",
        )
    parent = run.seed_artifact if run.init_from != "base" else None
    if parent is None or not (Path(parent) / "adapter_config.json").exists():
        source = parent or run.base_model
        model = AutoModelForCausalLM.from_pretrained(source, dtype=dtype, use_safetensors=True)
        return Start(model, fresh, is_base=source == run.base_model)

    base = AutoModelForCausalLM.from_pretrained(run.base_model, dtype=dtype, use_safetensors=True)
    adapter = PeftConfig.from_pretrained(parent)
    if fresh and (adapter.r, adapter.lora_alpha) == (fresh.r, fresh.lora_alpha):
        adapter.lora_dropout = fresh.lora_dropout
        return Start(PeftModel.from_pretrained(base, parent, config=adapter, is_trainable=True), None, is_base=True)
    merged = PeftModel.from_pretrained(base, parent).merge_and_unload()
    return Start(merged.requires_grad_(True), fresh, is_base=False)  # loading the adapter froze them


def dataset(run: recipe.Run, chat_template: str) -> tuple[Dataset, bool]:
    """The training rows, and whether the loss is to follow the template's marks of the assistant's turns."""
    disable_progress_bars()
    conversations = [conversation(row, run.system_prompt) for row in run.rows("train")]
    has_turns = any(sum(turn["role"] == "assistant" for turn in turns) > 1 for turns in conversations)
    if has_turns and re.search(r"\{%-?\s*generation", chat_template):
        return Dataset.from_dict({"messages": conversations}), True
    prompts, answers = [turns[:-1] for turns in conversations], [turns[-1:] for turns in conversations]
    return Dataset.from_dict({"prompt": prompts, "completion": answers}), False


def conversation(row: dict, system_prompt: str) -> list[dict]:
    """A row as messages; one that brings a system message of its own keeps it, as in evaluation."""
    if "messages" in row:
        turns = [{"role": turn["role"], "content": turn["content"]} for turn in row["messages"]]
    else:
        answer = str(row["completion"] if "completion" in row else row["target"])
        turns = [{"role": "user", "content": row["prompt"]}, {"role": "assistant", "content": answer}]
    if system_prompt and turns[0]["role"] != "system":
        turns.insert(0, {"role": "system", "content": system_prompt})
    return turns


def settings(run: recipe.Run, *, has_gpu: bool, has_bf16: bool, has_marked_turns: bool) -> SFTConfig:
    p = run.params
    schedules = {
        "cosine": ("cosine_with_min_lr", {"min_lr": min(p.min_learning_rate, p.learning_rate)}),
        "linear": ("linear", {}),
        "constant": ("constant_with_warmup", {}),
    }
    schedule, schedule_options = schedules[p.scheduler]
    return SFTConfig(
        output_dir=str(run.output_dir),
        learning_rate=p.learning_rate,
        lr_scheduler_type=schedule,
        lr_scheduler_kwargs=schedule_options,
        warmup_steps=p.warmup,
        weight_decay=p.weight_decay,
        num_train_epochs=p.epochs,
        max_steps=p.max_steps or -1,
        per_device_train_batch_size=p.batch_size,
        gradient_accumulation_steps=p.gradient_accumulation,
        max_length=p.max_length,
        packing=p.packing,
        assistant_only_loss=has_marked_turns,
        gradient_checkpointing=p.gradient_checkpointing and has_gpu,
        use_cpu=not has_gpu,
        bf16=has_bf16,
        dataloader_pin_memory=has_gpu,
        seed=run.seed,
        data_seed=run.seed,
        logging_steps=p.logging_steps,
        logging_first_step=True,
        logging_nan_inf_filter=False,
        disable_tqdm=True,
        save_strategy="no",
        report_to="none",
    )


if __name__ == "__main__":
    main()
