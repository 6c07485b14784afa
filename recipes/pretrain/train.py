"""Continued pretraining: the next token of running text, every one of them learned (TRL's SFTTrainer on plain text).

Documents are strung together, an end-of-text token between, and cut into blocks of `max_length` tokens. A LoRA is
merged at the end: what comes out are full weights, on which any other page can go on.
"""

from __future__ import annotations

from evo import recipe
from evo.recipe import training

# isort: split
from datasets import Dataset
from trl import SFTConfig, SFTTrainer


def main() -> None:
    run = recipe.current()
    p = run.params
    setup = training.begin(run)
    trainer = SFTTrainer(
        model=setup.model,
        args=SFTConfig(**setup.arguments(), max_length=p.max_length, packing=True, packing_strategy="wrapped"),
        train_dataset=Dataset.from_list([{"text": row["text"]} for row in setup.rows("text")]),
        processing_class=setup.tokenizer,
        peft_config=setup.fresh_adapter,
        callbacks=[setup.progress],
    )
    training.fit(trainer, setup, merge=True)


if __name__ == "__main__":
    main()
