"""Workspaces whose experiments have real weights without training: a command evaluator, and runs that copy a folder."""

from __future__ import annotations

from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from tiny_llama import random_model, save_tokenizer
from workspaces import SCORE, evo, new, write_gold


def save_base(folder: Path, *, dtype: torch.dtype = torch.bfloat16, seed: int = 0) -> Path:
    vocabulary = save_tokenizer(folder)
    model = random_model(seed=seed, vocabulary=vocabulary, ends=vocabulary - 5)
    model.to(dtype).save_pretrained(folder)
    return folder


def save_full(folder: Path, *, dtype: torch.dtype = torch.bfloat16, seed: int = 1, step: float = 0.05) -> Path:
    """Full weights that lie `step` of their size from `save_base`, in a direction of their own: as if trained."""
    vocabulary = save_tokenizer(folder)
    model = random_model(seed=0, vocabulary=vocabulary, ends=vocabulary - 5)
    torch.manual_seed(seed)
    with torch.no_grad():
        for tensor in model.parameters():
            tensor += step * tensor.norm() / tensor.numel() ** 0.5 * torch.randn_like(tensor)
    model.to(dtype).save_pretrained(folder)
    return folder


def save_lora(folder: Path, *, seed: int = 1) -> Path:
    """A LoRA on `save_base`, both of whose factors are random, with what a trainer leaves beside it."""
    vocabulary = save_tokenizer(folder)
    torch.manual_seed(seed)
    config = LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "down_proj"], task_type="CAUSAL_LM")
    model = get_peft_model(random_model(seed=0, vocabulary=vocabulary, ends=vocabulary - 5), config)
    for name, tensor in model.named_parameters():
        if ".lora_B." in name:
            torch.nn.init.normal_(tensor, std=0.3)
    model.save_pretrained(folder)
    (folder / "training_args.bin").write_bytes(b"\x80 a pickle")
    (folder / "README.md").write_text("what peft says of itself")
    return folder


def model_workspace(folder: Path, base: Path, *settings: str) -> Path:
    """A workspace on `base`, scored by a command that looks at `skill.txt` beside the weights."""
    gold = write_gold(folder.parent / "gold.jsonl", 200)
    (folder.parent / "score.py").write_text(SCORE)
    sets = [word for setting in settings for word in ("--set", setting)]
    answer = evo(
        "init", folder, "--template", "command", "--model", base, "--gold", gold, "--eval-command", "python score.py",
        "--eval-files", folder.parent / "score.py", *sets, cwd=folder.parent,
    )  # fmt: skip
    assert answer.code == 0, answer.err
    return folder


def experiment_of(workspace: Path, weights: Path, *, skill: float, words: str = "other weights") -> str:
    """An experiment that has been run and whose output is a copy of `weights`."""
    assert evo("config", "set", "isolation.read", weights, cwd=workspace).code == 0
    leave = f"cp -r {weights}/. $EVO_CHECKPOINT_DIR && echo {skill} > $EVO_CHECKPOINT_DIR/skill.txt"
    made = new(workspace, f"argv=sh -c '{leave}'", words, "--parent", "exp_0000")
    answer = evo("run", made, cwd=workspace)
    assert answer.code == 0, answer.err + answer.out
    return made
