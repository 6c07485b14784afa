"""Rejection-sampling fine-tuning: draw answers from the weights as they are, keep those that the rewards like, learn to
give them, and again (TRL's SFTTrainer; full weights or a LoRA).

A round is an epoch of `steps_per_round` steps, however many answers survive. What is learned are the very tokens that
were drawn. Prompts, start, pace and handing over are those of all pages: evo.recipe.training.
"""

from __future__ import annotations

import os
import random
import statistics
from dataclasses import replace
from pathlib import Path

from evo import recipe
from evo.recipe import rewards, sampling, training

# isort: split
from datasets import Dataset
from transformers import TrainerCallback
from trl import SFTConfig, SFTTrainer
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

SMOKE_STEPS_PER_ROUND = 2


def main() -> None:
    run = recipe.current()
    p = run.params
    setup = training.begin(run)
    rounds = Rounds(setup)
    world = int(os.environ.get("WORLD_SIZE", "1"))
    slots = rounds.steps * p.batch_size * p.gradient_accumulation * world
    trainer = SFTTrainer(
        model=setup.model,
        args=SFTConfig(
            **setup.arguments(remove_unused_columns=False),
            dataset_kwargs={"skip_prepare_dataset": True},
            max_length=None,
        ),
        train_dataset=Dataset.from_dict({"slot": list(range(slots))}),
        data_collator=rounds.batch,
        processing_class=setup.tokenizer,
        peft_config=setup.fresh_adapter,
        callbacks=[rounds, setup.progress],
    )
    training.fit(trainer, setup)


class Rounds(TrainerCallback):
    """Draws at the beginning of every epoch, and fills the slots of its batches with what survives.

    `rounds/000100.jsonl` holds all answers of the round that began at step 100. A resumed run learns on from them.
    """

    def __init__(self, setup: training.Setup) -> None:
        self.setup = setup
        self.warm = sampling.Warm(setup)
        self.terms = rewards.functions(setup.run)
        self.rows = setup.rows()
        self.steps = SMOKE_STEPS_PER_ROUND if setup.run.is_smoke else setup.run.params.steps_per_round
        self.folder = setup.run.folder / "rounds"
        self.pad = DataCollatorForLanguageModeling(pad_token_id=setup.tokenizer.pad_token_id)
        self.learned: list[sampling.Drawn] = []
        self.is_over = False

    def on_train_begin(self, _args, state, _control, **_others) -> None:
        later = [path for path in self.folder.glob("*.jsonl") if int(path.stem) > state.global_step]
        for path in later if self.setup.run.is_main else []:
            path.unlink()  # drawn from weights that a kill has taken

    def on_epoch_begin(self, _args, state, _control, model=None, **_others) -> None:
        began = state.global_step - state.global_step % self.steps
        drawn, is_new = sampling.once(self.file(began), lambda: self.draw(model, began))
        kept = self.kept_of(drawn)
        if is_new:
            self.report(drawn, kept, step=began)
        if not kept and began == 0:
            wanted, best = self.setup.run.params.min_reward, max(answer.reward for answer in drawn)
            raise SystemExit(
                f"none of {len(drawn)} answers ended and is worth min_reward {wanted}; the best has {best}"
            )
        while not kept:  # this round teaches nothing: one more step on the last that did, and the run is over
            self.is_over, began = True, began - self.steps
            kept = self.kept_of(sampling.once(self.file(began), list)[0])
        self.learned = random.Random(f"{self.setup.run.seed}/{began}").sample(kept, len(kept))

    def on_step_end(self, _args, _state, control, **_others) -> None:
        if self.is_over:
            control.should_save = control.should_training_stop = True

    def file(self, step: int) -> Path:
        return self.folder / f"{step:06d}.jsonl"

    def kept_of(self, drawn: list[sampling.Drawn]) -> list[sampling.Drawn]:
        return survivors(drawn, keep=self.setup.run.params.keep, min_reward=self.setup.run.params.min_reward)

    def draw(self, model, step: int) -> list[sampling.Drawn]:
        """This process's share of the round's answers, rewarded."""
        run, p = self.setup.run, self.setup.run.params
        count = min(p.prompts or len(self.rows), len(self.rows))
        numbers = sorted(random.Random(f"{run.seed}/{step}").sample(range(len(self.rows)), count))
        prompts = {number: rewards.prompt_of(self.rows[number], run.system_prompt) for number in numbers}
        how = sampling.Drawing(
            samples=p.samples,
            max_new_tokens=p.max_new_tokens,
            temperature=p.temperature,
            top_p=p.top_p,
            batch_size=p.sampling_batch,
            seed=run.seed + step,
        )
        drawn = sampling.draw(model, self.setup.tokenizer, list(prompts.items()), how, warm=self.warm)
        asked = [rewards.Asked(one.row, prompts[one.row], one.text) for one in drawn]
        by_term = {term.__name__: term.of(asked) for term in self.terms}
        weights = {term.__name__: term.weight for term in self.terms}
        found = []
        for place, one in enumerate(drawn):
            terms = {name: values[place] for name, values in by_term.items()}
            found.append(replace(one, terms=terms, reward=sum(weights[name] * terms[name] for name in terms)))
        return found

    def report(self, drawn: list[sampling.Drawn], kept: list[sampling.Drawn], *, step: int) -> None:
        worth = [answer.reward for answer in drawn]
        names = [term.__name__ for term in self.terms]
        self.setup.run.log(
            step=step,
            reward=statistics.fmean(worth),
            reward_std=statistics.pstdev(worth),
            completion_length=statistics.fmean(len(answer.answer) for answer in drawn),
            truncated=statistics.fmean(not answer.has_ended for answer in drawn),
            kept=len(kept) / len(drawn),
            **{f"rewards/{name}": statistics.fmean(answer.terms[name] for answer in drawn) for name in names},
        )

    def batch(self, slots: list[dict]) -> dict:
        """The survivors in these slots, padded; only the tokens of the answers are learned."""
        chosen = [self.learned[slot["slot"] % len(self.learned)] for slot in slots]
        rows = [
            {"input_ids": one.prompt + one.answer, "labels": [-100] * len(one.prompt) + one.answer} for one in chosen
        ]
        return self.pad(rows)


def survivors(drawn: list[sampling.Drawn], *, keep: int, min_reward: float) -> list[sampling.Drawn]:
    """Of each prompt the `keep` best different answers that came to an end and are worth `min_reward`."""
    best: dict[int, dict[str, sampling.Drawn]] = {}
    for answer in sorted(drawn, key=lambda answer: -answer.reward):
        different = best.setdefault(answer.row, {})
        if answer.has_ended and answer.reward >= min_reward and len(different) < keep:
            different.setdefault(answer.text, answer)
    return [answer for row in sorted(best) for answer in best[row].values()]


if __name__ == "__main__":
    main()
