from __future__ import annotations

import pytest

from evo.config import ParamSpec, RecipeConfig
from evo.errors import UsageError
from evo.workspace.params import apply_params, grid

RECIPE = RecipeConfig(
    name="sft",
    technique="sft",
    params={
        "learning_rate": ParamSpec("float", 5e-5, above=0, max=1, alias="lr"),
        "lora_rank": ParamSpec("int", 16, min=1, max=256, alias="rank"),
        "packing": ParamSpec("bool", False),
        "schedule": ParamSpec("str", "cosine", choices=["cosine", "linear"]),
        "max_steps": ParamSpec("int", None, min=1),
        "targets": ParamSpec("list", ["q", "v"]),
    },
)
COMMAND = RecipeConfig(
    name="command", technique="command", params={"argv": ParamSpec("str", required=True, doc="the command")}
)


def test_defaults_stand_under_what_is_set() -> None:
    """E2: typed parameters of our own schema."""
    params = apply_params(
        RECIPE, ["lr=1e-5", "rank=8", "packing=true", "schedule=linear", "max-steps=10", "targets=a,b"]
    )
    assert params == {
        "learning_rate": 1e-5,
        "lora_rank": 8,
        "packing": True,
        "schedule": "linear",
        "max_steps": 10,
        "targets": ["a", "b"],
    }
    assert apply_params(RECIPE, [])["learning_rate"] == 5e-5
    assert apply_params(RECIPE, ["max_steps=none"])["max_steps"] is None


def test_values_from_data_are_held_to_the_same_types() -> None:
    assert apply_params(RECIPE, {"learning_rate": 1})["learning_rate"] == 1.0
    wrong: list[dict[str, object]] = [{"learning_rate": True}, {"lora_rank": 8.0}, {"packing": 1}, {"targets": [1]}]
    for settings in [*wrong, {"lora_rank": None}, {"learning_rate": float("nan")}]:
        with pytest.raises(UsageError):
            apply_params(RECIPE, settings)


@pytest.mark.parametrize(
    ("word", "words"),
    [
        ("learning_rat=1", "learning_rate"),
        ("lrr=1", "lr"),
        ("lr=2", "at most 1"),
        ("lr=0", "more than 0"),
        ("lr=nan", "not a number"),
        ("lr=inf", "not a number"),
        ("lr=fast", "'fast' is not a number"),
        ("rank=8.5", "not a whole number"),
        ("rank=0", "at least 1"),
        ("rank=none", "not a whole number"),
        ("packing=2", "true or false"),
        ("schedule=step", "cosine or linear"),
        ("lr", "NAME=VALUE"),
        ("=1", "NAME=VALUE"),
    ],
)
def test_a_wrong_setting_is_refused_in_words(word: str, words: str) -> None:
    """E2: ranges; bad input names the nearest valid name."""
    with pytest.raises(UsageError) as caught:
        apply_params(RECIPE, [word])
    assert words in f"{caught.value.message} {caught.value.hint}"
    assert caught.value.exit_code == 2


def test_a_required_one_must_be_given_and_a_name_only_once() -> None:
    with pytest.raises(UsageError, match="needs argv: the command"):
        apply_params(COMMAND, [])
    assert apply_params(COMMAND, ['argv=python -c "a=1,2"']) == {"argv": 'python -c "a=1,2"'}
    with pytest.raises(UsageError, match="set twice"):
        apply_params(RECIPE, ["lr=1e-5", "learning_rate=2e-5"])


def test_a_grid_is_the_product_of_its_axes() -> None:
    assert grid(["lr=1e-5,2e-5", "rank=8,16"]) == [
        ["lr=1e-5", "rank=8"],
        ["lr=1e-5", "rank=16"],
        ["lr=2e-5", "rank=8"],
        ["lr=2e-5", "rank=16"],
    ]
    assert grid([]) == [[]]
    assert grid(['targets=["q","v"],["q"]']) == [['targets=["q","v"]'], ['targets=["q"]']]


def test_lists_come_as_json_as_words_or_between_commas() -> None:
    for text in ('["a b", "c"]', '"a b" c'):
        assert apply_params(RECIPE, [f"targets={text}"])["targets"] == ["a b", "c"]
    with pytest.raises(UsageError, match="a list"):
        apply_params(RECIPE, ['targets=["a'])
