"""Direct preference optimization: prefer the chosen answer to the rejected (TRL's DPOTrainer; Rafailov et al. 2023).

The loss is DPO's plus `sft_weight` times the likelihood of the chosen answers, which keeps those from becoming less
likely while the rejected ones fall (Pang et al. 2024). Compared is with the weights that the run starts from.
"""

from __future__ import annotations

from evo import recipe
from evo.recipe import training

# isort: split
from datasets import Dataset
from trl import DPOConfig, DPOTrainer


def main() -> None:
    run = recipe.current()
    p = run.params
    setup = training.begin(run)
    losses = {"sigmoid": 1.0, "sft": p.sft_weight} if p.sft_weight else {"sigmoid": 1.0}
    trainer = DPOTrainer(
        model=setup.model,
        ref_model=setup.reference(),
        args=DPOConfig(
            **setup.arguments(),
            max_length=p.max_length,
            beta=p.beta,
            loss_type=list(losses),
            loss_weights=list(losses.values()),
        ),
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
