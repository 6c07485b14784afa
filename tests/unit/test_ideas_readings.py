"""What the end of a run's metrics says of it, before anybody compares it with another."""

from __future__ import annotations

import json

import pytest

from evo.ops.ideas.facts import readings_of
from evo.store.whole import WholeRow


def read(technique: str, *, score: float | None = 0.5, sign: float = 1.0, **end: float) -> list[str]:
    row = WholeRow(
        "exp_0001", "exp_0000", "open", technique, technique, "{}", "", 0.1, 1e-4, score, 0.02, "e", 0, 0, "", "", "",
        None, "parent", "", 0.0, json.dumps(end),
    )  # fmt: skip
    return list(readings_of(row, low=0.0, high=1.0, sign=sign))


@pytest.mark.parametrize(
    ("technique", "end", "found"),
    [
        ("grpo", {"train_score": 0.5, "reward_std": 0.2, "entropy": 0.6, "kl": 0.1, "truncated": 0.09}, []),
        ("grpo", {"train_score": 0.995}, ["reward-saturated", "generalisation-gap"]),
        ("grpo", {"train_score": 0.5, "reward_std": 0.001}, ["reward-flat"]),
        ("rft", {"train_score": 0.85}, ["generalisation-gap"]),
        ("rloo", {"kl": 1.5}, ["instability"]),
        ("grpo", {"entropy": 0.01}, ["entropy-collapse"]),
        ("grpo", {"truncated": 0.1}, ["truncated-outputs"]),
        ("sft", {"loss": 0.01}, ["memorised"]),
        ("sft", {"loss": 0.3, "mean_token_accuracy": 0.99}, ["memorised"]),
        ("dpo", {"loss": 0.01}, []),
    ],
)
def test_the_end_of_a_run_is_read(technique: str, end: dict[str, float], found: list[str]) -> None:
    """A34: the failures that are told apart by a run's own numbers."""
    assert read(technique, **end) == found


def test_where_less_is_better_the_reward_has_the_other_sign() -> None:
    assert read("grpo", score=0.5, sign=-1.0, train_score=-0.5) == []
    assert read("grpo", score=0.5, sign=-1.0, train_score=-0.003) == ["reward-saturated", "generalisation-gap"]


def test_a_run_without_a_score_says_nothing_yet() -> None:
    assert read("grpo", score=None, truncated=1.0, kl=9.0) == []
