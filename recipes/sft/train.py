"""Supervised fine-tuning: learn to give the answers of the training rows (TRL's SFTTrainer; full weights or a LoRA).

Only the assistant's tokens are learned: of every turn where the chat template marks them with {% generation %}, else of
the last turn. Prompts, start, pace and handing over are those of all pages: evo.recipe.training.
"""

from __future__ import annotations

import re

from evo import recipe
from evo.recipe import training

# isort: split
from datasets import Dataset
from trl import SFTConfig, SFTTrainer


def main() -> None:
    run = recipe.current()
    p = run.params
    setup = training.begin(run)
    examples, has_marked_turns = dataset(setup)
    trainer = SFTTrainer(
        model=setup.model,
        args=SFTConfig(
            **setup.arguments(),
            max_length=p.max_length,
            packing=p.packing,
            assistant_only_loss=has_marked_turns,
        ),
        train_dataset=examples,
        processing_class=setup.tokenizer,
        peft_config=setup.fresh_adapter,
        callbacks=[setup.progress],
    )
    training.fit(trainer, setup)


def dataset(setup: training.Setup) -> tuple[Dataset, bool]:
    """The training rows, and whether the loss is to follow the template's marks of the assistant's turns."""
    conversations = [conversation(row, setup.run.system_prompt) for row in setup.rows()]
    has_turns = any(sum(turn["role"] == "assistant" for turn in turns) > 1 for turns in conversations)
    if has_turns and re.search(r"\{%-?\s*generation", setup.tokenizer.chat_template):
        return Dataset.from_dict({"messages": conversations}), True
    prompts, answers = [turns[:-1] for turns in conversations], [turns[-1:] for turns in conversations]
    return Dataset.from_dict({"prompt": prompts, "completion": answers}), False


def conversation(row: dict, system_prompt: str) -> list[dict]:
    """A row as messages; one that brings a system message of its own keeps it, as in evaluation."""
    turns: list[dict] = []
    answer = row.get("completion", row.get("target"))
    if "messages" in row:
        turns = [{"role": turn["role"], "content": turn["content"]} for turn in row["messages"]]
    elif "prompt" in row and answer is not None:
        turns = [{"role": "user", "content": row["prompt"]}, {"role": "assistant", "content": str(answer)}]
    if not turns or turns[-1]["role"] != "assistant":
        raise SystemExit(f"a row holds no question with its answer: {row}")
    if system_prompt and turns[0]["role"] != "system":
        turns.insert(0, {"role": "system", "content": system_prompt})
    return turns


if __name__ == "__main__":
    main()
