"""Kahneman-Tversky optimization: good and bad answers, one at a time (TRL's KTOTrainer; Ethayarajh et al. 2024).

A pair of a chosen and a rejected answer is two rows of it. Compared is with the weights that the run starts from. The
trainer pairs each row with its neighbour's answer and so reads in order: the rows are shuffled here, by the run's seed.
"""

from __future__ import annotations

import random

from evo import recipe
from evo.recipe import training

# isort: split
from datasets import Dataset
from trl import KTOConfig, KTOTrainer


def main() -> None:
    run = recipe.current()
    p = run.params
    setup = training.begin(run)
    trainer = KTOTrainer(
        model=setup.model,
        ref_model=setup.reference(),
        args=KTOConfig(
            **setup.arguments(),
            max_length=p.max_length,
            beta=p.beta,
            desirable_weight=p.desirable_weight,
            undesirable_weight=p.undesirable_weight,
        ),
        train_dataset=dataset(setup),
        processing_class=setup.tokenizer,
        peft_config=setup.fresh_adapter,
        callbacks=[setup.progress],
    )
    training.fit(trainer, setup)


def dataset(setup: training.Setup) -> Dataset:
    """Answers with their label, in an order drawn by the seed."""
    answers = [
        {
            "prompt": prompt(row, setup.run.system_prompt),
            "completion": [{"role": "assistant", "content": str(text)}],
            "label": is_good,
        }
        for row in setup.rows()
        for text, is_good in labelled(row)
    ]
    random.Random(setup.run.seed).shuffle(answers)
    return Dataset.from_list(answers)


def labelled(row: dict) -> list[tuple[str, bool]]:
    """The answers of a row, each with whether it is good."""
    if "chosen" in row and "rejected" in row:
        return [(row["chosen"], True), (row["rejected"], False)]
    if "completion" in row and isinstance(row.get("label"), bool):
        return [(row["completion"], row["label"])]
    raise SystemExit(f'a row is neither {{"chosen", "rejected"}} nor {{"completion", "label": true or false}}: {row}')


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
