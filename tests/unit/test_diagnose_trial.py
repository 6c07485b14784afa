"""What a smoke run is refused for: each reason from plain facts, and sound facts give no fault."""

from __future__ import annotations

import pytest

from evo.diagnose import trial
from evo.diagnose.trial import End, Marks, TokenizerFacts


def reasons(faults: list[trial.Fault]) -> list[str]:
    return [fault.reason for fault in faults]


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (End("failed", "train", "out_of_memory", "training ended with exit code 1"), "out_of_memory"),
        (End("trained", "evaluate", "eval_failed", "1\nOutOfMemoryError: CUDA out of memory."), "out_of_memory"),
        (End("failed", "train", "no_output", "training ended well but left nothing in /x"), "no_output"),
        (End("failed", "train", "nonzero_exit", "code 1\nRuntimeError: the loss is nan at step 2"), "dtype"),
        (End("failed", "train", "nonzero_exit", "1\nRuntimeError: mat1 and mat2 must have the same dtype"), "dtype"),
        (End("failed", "train", "nonzero_exit", "1\nRuntimeError: expected scalar type Float"), "dtype"),
        (End("failed", "train", "nonzero_exit", "code 1\nSystemExit: M has no chat template"), "template"),
        (End("failed", "train", "nonzero_exit", "code 1\nKeyError: 'prompt'"), "training"),
        (End("trained", "evaluate", "eval_failed", "code 1\nevo: the weights lack 3 tensors"), "evaluation"),
    ],
)  # fmt: skip
def test_a_trial_that_did_not_end_well_says_why(end: End, reason: str) -> None:
    """A5: out of memory, an empty folder, a dtype mismatch and a failure of any other kind each have a name."""
    assert reasons(trial.of_ending(end)) == [reason]


def test_an_ending_is_told_in_two_lines_and_a_good_one_is_none() -> None:
    found = trial.of_ending(
        End("failed", "train", "nonzero_exit", "exit code 1\nTraceback\n  line\nKeyError: 'prompt'")
    )
    assert found[0].message == "training failed: exit code 1: KeyError: 'prompt'"
    assert trial.of_ending(End("ok", "evaluate")) == []


def test_a_loss_that_is_no_number_is_named_with_its_step() -> None:
    rows = [{"step": 1, "loss": 2.0, "grad_norm": 0.5}, {"step": 2, "loss": None}]
    assert "step 2" in trial.of_losses(rows)[0].message
    assert reasons(trial.of_losses([{"step": 1, "loss": 1.0, "grad_norm": None}])) == ["dtype"]
    assert trial.of_losses(rows[:1]) == []
    assert trial.of_losses([{"step": 1, "reward": 0.5}]) == [], "a page that logs no loss has none that is broken"


@pytest.mark.parametrize(
    ("rows", "is_fault"),
    [
        ([{"reward": 0.0, "reward_std": 0.0}, {"reward": 0.0, "reward_std": 0.0}], True),
        ([{"reward": 1.0, "reward_std": 0.0}], True),
        ([{"reward": 1.5, "reward_std": 0.0}, {"reward": 1.5, "reward_std": 0.0}], True),
        ([{"reward": 0.0, "reward_std": 0.0}, {"reward": 0.1, "reward_std": 0.3}], False),
        ([{"reward": 0.5, "reward_std": 0.5}, {"reward": 0.5, "reward_std": 0.5}], False),
        ([{"reward": 0.5}, {"reward": 0.5}], False),
        ([{"reward": 0.0}], True),
        ([{"loss": 1.0}], False),
    ],
)
def test_a_reward_that_tells_nothing_apart_is_a_fault(rows: list[dict[str, object]], is_fault: bool) -> None:
    """A5, for RL: always 0, always 1, always anything."""
    assert reasons(trial.of_rewards(rows)) == (["reward"] if is_fault else [])


def test_weights_are_finite_and_saved_in_the_precision_of_the_base() -> None:
    assert "lm_head" in trial.of_weights(broken="lm_head.weight", own=(), base=())[0].message
    found = trial.of_weights(broken="", own={"F32"}, base={"BF16"})
    assert reasons(found) == ["dtype"]
    assert found[0].message == "the weights were saved as F32, and the base model is BF16"
    assert trial.of_weights(broken="", own={"BF16"}, base={"BF16", "F32"}) == []
    assert trial.of_weights(broken="", own=(), base={"BF16"}) == [], "the precision of an adapter is its own affair"


BASE = TokenizerFacts("{{ messages }}", {"a": 0, "b": 1}, {"eos_token": "<|end|>"})


@pytest.mark.parametrize(
    ("own", "reason"),
    [
        (TokenizerFacts("{{ other }}", {"a": 0, "b": 1}, {"eos_token": "<|end|>"}), "template"),
        (TokenizerFacts("{{ messages }}", {"a": 0, "b": 1}, {"eos_token": "<|stop|>"}), "template"),
        (TokenizerFacts("{{ messages }}", {"a": 0, "b": 1, "<|think|>": 2}, {"eos_token": "<|end|>"}), "tokenizer"),
        (TokenizerFacts("{{ messages }}", {"a": 0}, {}), "tokenizer"),
        (TokenizerFacts("{{ messages }}", {"a": 1, "b": 0}, {}), "tokenizer"),
        (TokenizerFacts("{{ messages }}\n", {"b": 1, "a": 0}, {"eos_token": "<|end|>", "bos_token": "<s>"}), ""),
        (TokenizerFacts(), ""),
    ],
)
def test_a_saved_tokenizer_is_the_one_that_evaluation_reads(own: TokenizerFacts, reason: str) -> None:
    """A5, A30: template and vocabulary are the same in training and serving; without a tokenizer none drifts."""
    assert reasons(trial.of_tokenizer(own, BASE, template=BASE.template)) == ([reason] if reason else [])


def test_rows_that_were_rendered_before_are_found_unless_evaluation_has_them_too() -> None:
    """Template drift between data and evaluation."""
    rendered = ["<|im_start|>user\n1+1=<|im_end|>", "2"]
    found = trial.of_rendering(rendered, ["what is 1+1"])
    assert reasons(found) == ["template"]
    assert "<|im_start|>" in found[0].message
    assert trial.of_rendering(rendered, rendered) == []
    assert trial.of_rendering(["what is 2+2", "4"], ["what is 1+1"]) == []
    assert reasons(trial.of_rendering(["<|turn|>hi"], ["hi"], markers=["<|turn|>", "ab"])) == ["template"]
    assert trial.of_rendering(["table"], ["x"], markers=["ab"]) == [], "a short special token is a word's part"


def test_what_the_trainer_read_holds_the_prompt_that_evaluation_asks() -> None:
    """A30: the same template in training and evaluation, also where a page renders by hand."""
    wanted = ["<|user|>1+1=<|end|><|assistant|>"]
    assert trial.of_prompts(["<|user|>1+1=<|end|><|assistant|>2<|end|>"], wanted) == []
    assert reasons(trial.of_prompts(["### Question: 1+1= ### Answer: 2"], wanted)) == ["template"]
    assert trial.of_prompts([], wanted) == []
    long = f"<|user|>{'1+' * 200}1=<|end|>"
    assert trial.of_prompts([long[:150]], [long]) == [], "a row that was cut off is compared as far as it goes"


ZEROS = {f"item-{i}": 0.0 for i in range(4)}


@pytest.mark.parametrize(
    ("marks", "is_fault"),
    [
        (Marks({**ZEROS, "item-3": 1.0}, ZEROS, ["x"] * 4), False),
        (Marks(ZEROS, {**ZEROS, "item-3": 1.0}, ["x"] * 4), True),
        (Marks(ZEROS, ZEROS, ["", " ", None, "x"]), False),
        (Marks(ZEROS, ZEROS, ["", " ", None, ""]), True),
        (Marks(ZEROS, {}, ["x"] * 4), False),
        (Marks({}, {}, []), False),
        (Marks(ZEROS, ZEROS, [""] * 4, worst=None), False),
        (Marks({"a": 1.0}, {"a": 0.2}, ["x"], worst=1.0), True),
    ],
)
def test_some_item_is_right_or_for_a_base_at_zero_an_output_can_be_read(marks: Marks, is_fault: bool) -> None:
    """A5: non-zero on some items; `worst` is the range's other end where less is better."""
    assert reasons(trial.of_marks(marks)) == (["score"] if is_fault else [])
