"""What an idea sets: the rate that fits the method, whole groups, moves that go somewhere, and what its title says."""

from __future__ import annotations

from typing import Any

import pytest
from ideation import CONFIGS, RECIPES, TREES, task, tree

from evo.domain.idea import BRIEFS, Brief, Idea
from evo.ideas.drafting import bounded, settings_for
from evo.ideas.facts import Facts
from evo.ideas.judging import merged, unknown, varied
from evo.ideas.novelty import said
from evo.ideas.ranking import ranked
from evo.ideas.rules import Rules
from evo.workspace.params import apply_params

BOTH = ("verifiable", "demonstrations")


def ideas_for(facts: Facts, brief: Brief, k: int = 20) -> list[Idea]:
    return varied(merged(ranked(facts, unknown(facts, Rules().propose(facts, brief)))), k)


def default(recipe: str, name: str) -> Any:
    return CONFIGS[recipe].params[name].default


def failing(**params: object) -> dict[str, object]:
    return {"recipe": "sft", "failure": "out_of_memory", "params": params, "delta_se": 0.0}


@pytest.mark.parametrize("recipe", ["grpo", "rloo", "rft"])
def test_after_a_lora_the_next_technique_is_one_too_at_the_rate_of_a_lora(recipe: str) -> None:
    facts = tree(task(*BOTH), {"gain": 0.2, "params": {"method": "lora", "learning_rate": 5e-4}})
    settings = settings_for(facts, recipe, {})
    assert settings["method"] == "lora"
    assert settings["learning_rate"] == pytest.approx(10 * default(recipe, "learning_rate"))
    assert "learning_rate" not in settings_for(tree(task(*BOTH), {"gain": 0.2}), recipe, {})


def test_a_rate_that_was_found_here_comes_before_a_papers() -> None:
    """A model of a million weights has learnt at a hundred times the usual rate; a paper's 2e-5 would move nothing."""
    found = {"gain": 0.45, "params": {"method": "lora", "learning_rate": 5e-3}}
    facts = tree(task(*BOTH, model_parameters=820_000), found)
    full = settings_for(facts, "sft", {"method": "full", "learning_rate": 2e-5})
    assert full == {"learning_rate": pytest.approx(5e-4)}
    assert settings_for(facts, "grpo", {"method": "lora", "learning_rate": 1e-5})["learning_rate"] == pytest.approx(
        1e-4
    )
    assert settings_for(facts, "grpo", {"method": "full"}) == {"learning_rate": pytest.approx(1e-5)}
    fast = tree(task(*BOTH), {"recipe": "grpo", "gain": 0.1, "params": {"learning_rate": 1e-5}})
    assert settings_for(fast, "rft", {}) == {}, "a fast run of a large model says nothing of another recipe"


@pytest.mark.parametrize("recipe", ["grpo", "rloo"])
@pytest.mark.parametrize(
    ("group", "batch", "passes"), [(16, 8, 1), (16, 4, 2), (12, 8, 1), (3, 8, 4), (8, 8, 1), (2, 1, 1)]
)
def test_groups_of_answers_stay_whole(recipe: str, group: int, batch: int, passes: int) -> None:
    asked = {"group_size": group, "batch_size": batch, "gradient_accumulation": passes}
    settings = asked | bounded(RECIPES[recipe], asked)
    filled = {name: settings.get(name, default(recipe, name)) for name in asked}
    assert filled["batch_size"] * filled["gradient_accumulation"] % filled["group_size"] == 0
    assert filled["gradient_accumulation"] >= passes
    assert (filled["group_size"], filled["batch_size"]) == (group, batch)


def test_more_answers_to_a_flat_reward_take_more_passes() -> None:
    flat = {"recipe": "grpo", "gain": 0.0, "readings": ["reward-flat"], "params": {"gradient_accumulation": 1}}
    more = next(idea for idea in ideas_for(tree(task(*BOTH), flat), "failure_analysis") if "more answers" in idea.title)
    assert (more.patch["group_size"], more.patch["gradient_accumulation"]) == (16, 2)


@pytest.mark.parametrize("high", [0.28, 0.4, 0.8])
@pytest.mark.parametrize("brief", ["failure_analysis", "literature"])
def test_room_upwards_is_never_less_room(high: float, brief: Brief) -> None:
    gone = {"recipe": "grpo", "gain": 0.1, "readings": ["entropy-collapse"], "params": {"learning_rate": 5e-6}}
    gone["params"] |= {"epsilon_high": high} if high != default("grpo", "epsilon_high") else {}  # type: ignore[operator]
    ideas = [idea for idea in ideas_for(tree(task(*BOTH), gone), brief) if idea.recipe == "grpo"]
    assert all(idea.patch.get("epsilon_high", default("grpo", "epsilon_high")) >= high for idea in ideas)
    assert not any("epsilon_high 0.28" in idea.title for idea in ideas)
    assert any("room upwards" in idea.title for idea in ideas) == (brief == "failure_analysis" and high < 0.4)


def test_what_cannot_be_halved_is_not_halved() -> None:
    facts = tree(task(*BOTH), *(failing(batch_size=n, gradient_accumulation=16) for n in (4, 2, 1)))
    titles = [idea.title for idea in ideas_for(facts, "failure_analysis")]
    assert "a LoRA" in titles[0]
    assert not any("half the batch" in title for title in titles)
    odd = ideas_for(tree(task(*BOTH), failing(batch_size=3)), "failure_analysis")[0]
    assert (odd.patch["batch_size"], odd.patch["gradient_accumulation"]) == (2, 2)


@pytest.mark.parametrize("has_cuda", [True, False])
def test_a_lighter_kind_of_weights_is_never_a_heavier_one(has_cuda: bool) -> None:
    def methods(**params: object) -> list[object]:
        facts = tree(task(*BOTH, has_cuda=has_cuda), failing(batch_size=1, max_length=128, **params))
        ideas = ideas_for(facts, "failure_analysis")
        return [idea.patch.get("method", "full") if idea.recipe else idea.commands[-1] for idea in ideas]

    assert methods()[0] == "lora"
    assert methods(method="lora") == (["qlora"] if has_cuda else []) + ["evo doctor"]
    assert methods(method="qlora") == ["evo doctor"]


WIDE = task("verifiable", "demonstrations", "pairs", "scorer", "corpus", has_cuda=True)
TRIED: dict[str, Facts] = TREES | {
    "everything there is": tree(WIDE),
    "each once": tree(
        WIDE, *({"recipe": name, "gain": 0.01 * n} for n, name in enumerate(RECIPES)), rounds_without_gain=4
    ),
    "with a rate": tree(
        WIDE,
        *({"recipe": name, "gain": 0.02 * n, "params": {"learning_rate": 4e-6}} for n, name in enumerate(RECIPES, 1)),
        rounds_without_gain=4,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TRIED)
def test_a_title_names_what_the_step_sets_and_nothing_else(name: str) -> None:
    facts = TRIED[name]
    for brief in BRIEFS:
        for idea in ideas_for(facts, brief, k=200):
            if not idea.recipe:
                continue
            apply_params(CONFIGS[idea.recipe], idea.patch)
            said_so = idea.title.partition(" with ")[2].rpartition(":")[0]
            for part in said_so.split(", ") if said_so and said_so != "its defaults" else []:
                setting, _, value = part.rpartition(" ")
                assert said(idea.patch.get(setting, default(idea.recipe, setting))) == value, idea.title


def test_a_claim_that_is_the_recipe_as_it_was_run_is_no_step() -> None:
    titles = [idea.title for idea in ideas_for(TRIED["each once"], "literature", k=200)]
    for claim in ("dpo-direct", "orpo-one-stage", "dapo-clip-higher", "rloo-loo", "orz-plain", "r1-distil"):
        assert not [title for title in titles if title.endswith(claim)], claim
    first = [idea for idea in ideas_for(tree(task("pairs")), "literature") if idea.title.endswith("dpo-direct")]
    assert [idea.title for idea in first] == ["dpo with its defaults: dpo-direct"]


def test_pairs_of_the_models_own_answers_are_not_taken_from_the_file_of_pairs() -> None:
    found = [idea for name in TRIED for idea in ideas_for(TRIED[name], "literature", k=200)]
    for claim in ("irpo-nll", "vstar-wrong-too", "rso-pairs"):
        steps = [idea for idea in found if idea.title.endswith(claim)]
        assert steps, claim
        assert {idea.recipe for idea in steps} == {""}, claim
        assert {tuple(idea.commands) for idea in steps} == {(f"evo recipe copy dpo {claim}",)}


def test_settings_of_an_adapter_go_with_it() -> None:
    found = {"gain": 0.2, "params": {"method": "lora", "lora_rank": 16, "learning_rate": 5e-4}}
    assert settings_for(tree(task(*BOTH), found), "sft", {"method": "full"}) == {}
    assert settings_for(tree(task(*BOTH), found), "sft", {"epochs": 1})["lora_rank"] == 16
