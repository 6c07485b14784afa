"""Group-relative policy optimisation: answer each prompt several times and move towards the better answers of the group
(TRL's GRPOTrainer; full weights or a LoRA).

Rewards are the terms of recipe.yaml's `rewards`, weighted, summed and logged apart. Groups stay whole: a step sees all
answers to a prompt or none. Prompts, start, pace and handing over are those of all pages: evo.recipe.training.
"""

from __future__ import annotations

import importlib.util
import math
import os

from evo import recipe
from evo.recipe import rewards, training

# isort: split
from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer


def main() -> None:
    run = recipe.current()
    p = run.params
    setup = training.begin(run)
    terms = rewards.functions(run)
    steps = whole_groups(setup)
    trainer = GRPOTrainer(
        model=setup.model,
        args=GRPOConfig(
            **setup.arguments(gradient_accumulation_steps=steps),
            **rollouts(setup),
            reward_weights=[term.weight for term in terms],
            beta=p.beta,
            epsilon=p.epsilon,
            epsilon_high=p.epsilon_high,
            loss_type=p.loss_type,
            scale_rewards=p.scale_rewards,
            num_iterations=p.iterations,
            mask_truncated_completions=p.mask_truncated,
        ),
        reward_funcs=terms,
        train_dataset=prompts(setup, groups=p.batch_size * steps * world_size() // p.group_size),
        processing_class=setup.tokenizer,
        peft_config=setup.fresh_adapter,
        callbacks=[setup.progress],
    )
    if trainer.ref_model is not None:  # not what the folder of weights holds that a parent's adapter was merged into
        trainer.ref_model = trainer.accelerator.prepare_model(setup.reference(), evaluation_mode=True)
    training.fit(trainer, setup)


def world_size() -> int:
    return int(os.environ.get("WORLD_SIZE", "1"))


def whole_groups(setup: training.Setup) -> int:
    """Forward passes of one step, so that its completions are whole groups; a trial run takes as few as that allows."""
    p = setup.run.params
    at_once = p.batch_size * world_size()
    fewest = math.lcm(at_once, p.group_size) // at_once
    if setup.run.is_smoke:
        return fewest
    if p.gradient_accumulation % fewest:
        passes = f"batch_size {p.batch_size} on {world_size()} process(es), gradient_accumulation"
        raise SystemExit(
            f"{passes} {p.gradient_accumulation} would cut groups of {p.group_size} apart: "
            f"gradient_accumulation must be a multiple of {fewest}"
        )
    return int(p.gradient_accumulation)


def rollouts(setup: training.Setup) -> dict:
    """How answers are drawn: by transformers in this process, or by a vLLM server that takes the weights over NCCL."""
    p = setup.run.params
    drawn = {
        "num_generations": p.group_size,
        "temperature": p.temperature,
        "top_p": p.top_p,
        "max_completion_length": p.max_new_tokens,
    }
    if p.vllm_server == "none":
        return drawn
    missing = [] if setup.has_gpu else ["a CUDA GPU in this process, beside the server's"]
    missing += [] if importlib.util.find_spec("vllm") else ["the package vllm in this environment (pip install vllm)"]
    if missing:
        raise SystemExit(f"vllm_server needs {' and '.join(missing)}; without it transformers draws the answers")
    return drawn | {"use_vllm": True, "vllm_mode": "server", "vllm_server_base_url": p.vllm_server}


def prompts(setup: training.Setup, *, groups: int) -> Dataset:
    """What the rows ask, as evaluation asks it, each with its number for the rewards; at least one step's worth."""
    asked = [
        {"prompt": rewards.prompt_of(row, setup.run.system_prompt), "target": rewards.target_of(row), "row": number}
        for number, row in enumerate(setup.rows())
    ]
    return Dataset.from_list(asked * math.ceil(groups / len(asked)))


if __name__ == "__main__":
    main()
