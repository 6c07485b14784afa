"""What words say of a plan: nothing, little, or a number."""

from __future__ import annotations

import pytest

from evo.diagnose.emptiness import emptiness
from evo.diagnose.hypothesis import predicted_gain


@pytest.mark.parametrize("words", ["try better params", "improve the results", "test 2", "another run", "wip", "!!!"])
def test_a_hypothesis_that_cannot_be_wrong_says_nothing(words: str) -> None:
    """A35: a generic hypothesis."""
    found = emptiness(words)
    assert found is not None
    assert found.says_nothing


@pytest.mark.parametrize(
    "words", ["a lower rate keeps what it knew", "two epochs overfit less", "mehr Beispiele helfen ihm"]
)
def test_a_hypothesis_with_a_claim_is_let_through(words: str) -> None:
    assert emptiness(words) is None


def test_a_short_one_is_only_called_short() -> None:
    found = emptiness("dropout .1")
    assert found is None or not found.says_nothing
    short = emptiness("LoRA")
    assert short is not None
    assert not short.says_nothing


@pytest.mark.parametrize(
    ("words", "gain"),
    [
        ("doubling the rank gains 5 points", 0.05),
        ("+3 pp from cleaner targets", 0.03),
        ("costs 2 points and is twice as fast", -0.02),
        ("-1.5 points at half the price", -0.015),
        ("format alone: +12%", 0.12),
        ("expect +0.04 on dev", 0.04),
        ("lr 5e-5 for 3 epochs, 20% warmup", None),
        ("a batch of 64 is steadier", None),
    ],
)
def test_a_number_is_a_prediction_only_where_the_words_make_it_one(words: str, gain: float | None) -> None:
    """A35: hypothesis against outcome, factual."""
    assert predicted_gain(words) == (None if gain is None else pytest.approx(gain))


@pytest.mark.parametrize(
    ("words", "gain"),
    [
        ("six with mix 0.4, shift -0.777, depth 9: spreads out", None),
        ("six moves shift 0.765 -> -0.231, mix 0.3 -> -.5 from exp_0004: +0.021 [-0.010, +0.052] expected", 0.021),
        ("shift=-0.5 and mix: +0.25 together gain 3 points", 0.03),
        ("upshift of +0.05", 0.05),
        ("mixed rows: +0.05", 0.05),
    ],
)
def test_the_value_of_a_parameter_is_no_prediction(words: str, gain: float | None) -> None:
    found = predicted_gain(words, settings=["shift", "mix", "depth"])
    assert found == (None if gain is None else pytest.approx(gain))
