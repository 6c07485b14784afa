"""What one does about a symptom: settings to move, first the nearest fix, then the way round.

Invariant: a table. `("times", x)` multiplies what the run had, `("tamed", x)` too, and goes halfway (in logarithms) to
the recipe's default where that is further; `("raised", x)` lowers nothing; `("as halved", name)` grows as that one
shrinks; `("instead", {a: b})` turns a into b. A parameter that a recipe lacks is passed over.
"""

from __future__ import annotations

from typing import Any, NamedTuple

SCALED = ("times", "tamed")
HALF, DOUBLE = ("times", 0.5), ("times", 2.0)
THIRD = ("times", 1 / 3)
TAMED = ("tamed", 1 / 3)


class Remedy(NamedTuple):
    """`moves` change the run's own settings; `recipes`: others to take instead (the first that is there); `unless`:
    techniques for which it means something else."""

    name: str
    why: str
    moves: dict[str, Any] = {}  # noqa: RUF012
    recipes: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    risks: str = ""
    unless: tuple[str, ...] = ()


LOG = "evo log {experiment}"
FORMAT = "evo diagnose --format"
_SLOWER = Remedy(
    "a third of the learning rate", "too large steps undo more than they teach", {"learning_rate": THIRD},
    risks="it may only be slower",
)  # fmt: skip
_SHORTER = Remedy(
    "half the epochs", "it had learnt what there was before it ended", {"epochs": HALF}, risks="it may end too soon"
)
_CLOSER = Remedy(
    "held twice as close to where it started", "a penalty on the distance keeps what was known",
    {"beta": DOUBLE}, risks="it may learn less", unless=("orpo",),  # whose beta weighs the preference, not the distance
)  # fmt: skip
_ADAPTER = Remedy(
    "a LoRA", "a low-rank change forgets less, and needs less memory",
    {"method": ("instead", {"full": "lora"})}, risks="on much supervised data it lags behind full weights",
)  # fmt: skip
_ANCHORED = Remedy(
    "a KL penalty of .05", "with none, nothing holds the policy where the reward does not look",
    {"beta": 0.05}, risks="a reference model in memory, and smaller steps",
)  # fmt: skip

BY_FAILURE: dict[str, tuple[Remedy, ...]] = {
    "out_of_memory": (
        Remedy(
            "half the batch, twice the accumulation", "the same optimizer step in half the memory",
            {"batch_size": HALF, "gradient_accumulation": ("as halved", "batch_size"), "gradient_checkpointing": True},
            risks="slower",
        ),
        _ADAPTER,
        Remedy(
            "frozen weights of four bits", "what an adapter rests on takes a quarter of the memory",
            {"method": ("instead", {"lora": "qlora"})}, risks="slower, and a little less exact",
        ),
        Remedy(
            "shorter rows and answers", "activations grow with the length",
            {"max_length": HALF, "max_new_tokens": HALF, "group_size": HALF}, risks="what is cut off is not learnt",
        ),
        Remedy("see what takes the memory", "where settings are at their least, it is the model or the card",
               commands=(LOG, "evo doctor")),
    ),
    "timeout": (
        Remedy("half the work", "it ends within its limit", {"epochs": HALF, "prompts": HALF}, risks="it learns less"),
        _ADAPTER,
    ),
    "nan": (
        Remedy(
            "a lower learning rate and a longer warmup", "first steps at full rate are where losses blow up",
            {"learning_rate": TAMED, "warmup": 0.2},
        ),
        Remedy("a LoRA in float32", "fewer weights move, in full precision",
               {"method": ("instead", {"full": "lora"}), "frozen_precision": "float32"}),
    ),
    "template": (
        Remedy("look at how rows are rendered", "a template that does not fit fails or, worse, teaches the wrong form",
               commands=("evo recipe check {recipe}", FORMAT)),
    ),
    "tokenizer": (
        Remedy("the base model's tokenizer as it is", "evaluation reads that one, whatever was saved",
               commands=("evo recipe check {recipe}", "evo run {experiment} --smoke")),
    ),
    "dtype": (
        Remedy("the base model's precision", "weights are loaded, trained and saved in one",
               commands=("evo recipe check {recipe}", "evo run {experiment} --smoke")),
    ),
    "reward": (
        Remedy("more answers to a prompt", "a larger group is more often mixed",
               {"group_size": DOUBLE, "samples": DOUBLE}, risks="twice the drawing"),
        Remedy("demonstrations first", "what is never earned teaches nothing", {}, ("sft",)),
        Remedy("look at what the reward reads", "one that is the same for every answer teaches nothing",
               commands=("evo recipe check {recipe}", FORMAT)),
    ),
    "score": (
        _SLOWER,
        Remedy("look at training rows beside dev items", "ten rows have undone what the base model could do",
               commands=("evo diagnose", "evo recipe check {recipe}")),
    ),
    "missing_module": (Remedy("install what is missing", "no setting helps", commands=("evo doctor",)),),
    "disk_full": (Remedy("make room", "weights of failed and discarded runs can go", commands=("evo gc --dry-run",)),),
    "network": (
        Remedy("bring it here first", "a run that needs the network fails with it", commands=("evo doctor",)),
    ),
    "no_output": (
        Remedy("look at where it writes", "what is not in EVO_CHECKPOINT_DIR is no output",
               commands=("evo recipe check {recipe}", LOG)),
    ),
    "bad_result": (
        Remedy("look at what the evaluation wrote", "its results were not valid",
               commands=(LOG, "evo diagnose")),
    ),
}  # fmt: skip
OTHERWISE = (Remedy("read the log", "its class says too little", commands=(LOG, "evo recipe check {recipe}")),)

BY_READING: dict[str, tuple[Remedy, ...]] = {
    "stuck-at-zero": (
        Remedy("the form of the answer first", "what is never right once cannot be reinforced",
               {}, ("sft", "pretrain"), risks="it teaches form, not ability"),
        Remedy(
            "another technique", "not another dose of what has brought nothing", {}, ("grpo", "rft", "rloo"),
            risks="a reward that is never earned teaches nothing: look at the reward of its first steps",
        ),
        Remedy(
            "see what is answered, and how it is read", "nothing right at all is often a form that the scorer refuses",
            commands=("evo failures {experiment}", FORMAT),
        ),
    ),
    "reward-hacked": (
        Remedy(
            "a reward that is not won that way", "what is earned does not show on dev: it pays for something else",
            commands=("evo failures {experiment}", "evo recipe copy {recipe} {recipe}-stricter"),
            risks="without a stricter reward everything else only slows it down",
        ),
        _ANCHORED,
        _CLOSER,
        _SLOWER,
    ),
    "overfit": (_SHORTER, _ADAPTER, _SLOWER),
    "lora-slow": (
        Remedy(
            "ten times the learning rate", "a LoRA at the rate of full weights hardly moves",
            {"learning_rate": ("times", 10.0)}, risks="above its peak it diverges",
        ),
    ),
    "instability": (
        Remedy(
            "a third of the learning rate, advantages by batch", "small groups have wild deviations",
            {"learning_rate": THIRD, "scale_rewards": "batch"},
        ),
        Remedy("keep and imitate instead", "filtered imitation has no ratio that can blow up", {}, ("rft",)),
    ),
    "regression": (
        _SLOWER, _CLOSER, _SHORTER,
        Remedy(
            "see what it gets wrong that its parent got right", "one kind of item lost is data; all kinds, the dose",
            commands=("evo compare {experiment} {parent}",),
        ),
    ),
    "forgetting": (_CLOSER, _ADAPTER, _SLOWER, _SHORTER),
    "reward-saturated": (
        Remedy(
            "more answers to a prompt, drawn wider", "where all answers are right, rare wrong ones are what is left",
            {"group_size": DOUBLE, "samples": DOUBLE, "temperature": 1.2}, risks="twice the drawing",
        ),
        _ANCHORED,
        _CLOSER,
    ),
    "reward-flat": (
        Remedy(
            "more answers to a prompt", "a larger group is more often mixed",
            {"group_size": DOUBLE, "samples": DOUBLE}, risks="twice the drawing",
        ),
        Remedy("demonstrations first", "what is never earned teaches nothing", {}, ("sft",)),
    ),
    "entropy-collapse": (
        Remedy(
            "room upwards", "a higher upper clip lets rare tokens gain weight",
            {"epsilon_high": ("raised", 0.4), "temperature": ("raised", 1.0)}, risks="noisier",
        ),
        _SLOWER,
    ),
    "length-drift": (
        Remedy(
            "no division by length", "dividing by an answer's length rewards long wrong ones",
            {"loss_type": "dr_grpo", "scale_rewards": "none"},
        ),
        _CLOSER,
    ),
    "truncated-outputs": (
        Remedy("longer answers", "what has no end cannot be right", {"max_new_tokens": DOUBLE, "mask_truncated": True}),
        Remedy("one epoch of demonstrations", "they show where an answer ends", {"epochs": 1}, ("sft",)),
    ),
    "generalisation-gap": (_SHORTER, _ANCHORED, _CLOSER, _SLOWER),
    "format-errors": (
        Remedy("one epoch of demonstrations", "the form of the answer is quickly taught", {"epochs": 1}, ("sft",)),
        Remedy("see what examples alone do", "form or ability", commands=(FORMAT,)),
    ),
}  # fmt: skip
