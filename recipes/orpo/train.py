"""Odds ratio preference optimization: imitate the chosen answer, turn from the rejected one, with no reference weights.

TRL's ORPOTrainer (Hong et al. 2024). Its likelihood term runs over prompt and answer, as in the paper; the odds ratio,
weighted by `beta`, over the answers alone.
"""

from __future__ import annotations

from evo import recipe
from evo.recipe import training

# isort: split
from datasets import Dataset
from trl.experimental.orpo import ORPOConfig, ORPOTrainer


class CountingTrainer(ORPOTrainer):
    """Says how many tokens it has read, as TRL's other trainers do."""

    def get_batch_loss_metrics(self, model, batch, **others):
        seen = batch["chosen_attention_mask"].sum() + batch["rejected_attention_mask"].sum()
        self.state.num_input_tokens_seen += int(self.accelerator.gather(seen).sum())
        return super().get_batch_loss_metrics(model, batch, **others)

    def log(self, logs, *others):
        super().log({**logs, "num_tokens": self.state.num_input_tokens_seen}, *others)


def main() -> None:
    run = recipe.current()
    p = run.params
    setup = training.begin(run)
    trainer = CountingTrainer(
        model=setup.model,
        args=ORPOConfig(**setup.arguments(remove_unused_columns=False), max_length=p.max_length, beta=p.beta),
        train_dataset=dataset(setup),
        processing_class=setup.tokenizer,
        peft_config=setup.fresh_adapter,
        callbacks=[setup.progress],
    )
    training.fit(trainer, setup)


def dataset(setup: training.Setup) -> Dataset:
    """Pairs of answers, each to the prompt of the evaluation."""
    return Dataset.from_list(
        [
            {
                "prompt": prompt(row, setup.run.system_prompt),
                "chosen": [{"role": "assistant", "content": str(row["chosen"])}],
                "rejected": [{"role": "assistant", "content": str(row["rejected"])}],
            }
            for row in setup.rows("chosen", "rejected")
        ]
    )


def prompt(row: dict, system_prompt: str) -> list[dict]:
    """What a row asks, as messages; one that brings a system message of its own keeps it, as in evaluation."""
    if "messages" in row:
        turns = [{"role": turn["role"], "content": turn["content"]} for turn in row["messages"]]
    else:
        turns = [{"role": "user", "content": row["prompt"]}]
    if system_prompt and turns[0]["role"] != "system":
        turns.insert(0, {"role": "system", "content": system_prompt})
    return turns


if __name__ == "__main__":
    main()
