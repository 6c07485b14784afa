"""Trees that a colleague was asked about: which brief is asked, and what comes first."""

from __future__ import annotations

from typing import Any

import pytest
from ideation import task, tree

from evo.domain.idea import Brief, Idea
from evo.ideas.facts import Facts
from evo.ideas.judging import merged, unknown, varied
from evo.ideas.ranking import ranked
from evo.ideas.recommend import recommend
from evo.ideas.rules import Rules
from evo.ideas.situations import situations
from evo.ideas.symptoms import MEMORISED
from evo.ideas.triggers import Asked, due_brief, fitting_brief, fitting_briefs

BOTH = ("verifiable", "demonstrations")
LOW_FULL = {"gain": 0.2, "params": {"learning_rate": 1e-5}}
LORA = {"method": "lora", "learning_rate": 2e-5}
BROKE = {"recipe": "sft", "failure": "nonzero_exit", "log_tail": "KeyError: 'prompt'", "params": {"epochs": 7.0}}


def ideas_for(facts: Facts, brief: Brief | None = None) -> list[Idea]:
    name = brief or fitting_brief(facts).brief
    return varied(merged(ranked(facts, unknown(facts, Rules().propose(facts, name)))), 8)


def losing(parent: str, base: float = 0.0, **more: Any) -> list[dict[str, Any]]:
    steps = [
        ("grpo", {"learning_rate": 1e-4}, 0.1),
        ("sft", {"epochs": 5.0}, 0.12),
        ("rft", {}, 0.11),
        ("sft", {"learning_rate": 1e-4}, 0.14),
    ]
    return [
        {"recipe": name, "parent": parent, "params": params, "gain": base - lost} | more for name, params, lost in steps
    ]


@pytest.mark.parametrize(
    "facts",
    [
        tree(task(*BOTH, base=0.3), {"gain": 0.2}, *losing("exp_0001", 0.2), rounds_without_gain=4),
        tree(task(*BOTH, base=0.6), BROKE, *losing("exp_0000"), rounds_without_gain=4),
    ],
)
def test_where_every_child_loses_a_lower_rate_comes_first_and_no_loser_lends_its_settings(facts: Facts) -> None:
    assert fitting_brief(facts) == ("failure_analysis", "3 losses in a row")
    assert due_brief(facts, {"literature": Asked()}) == fitting_brief(facts)
    assert due_brief(facts, {"literature": Asked(experiments=5), "failure_analysis": Asked(experiments=4)}) is None
    first = ideas_for(facts)[0]
    assert "a third of the learning rate" in first.title
    assert first.patch["learning_rate"] < 5e-5
    assert any(idea.commands and idea.commands[0].startswith("evo compare exp_") for idea in ideas_for(facts))
    for brief in ("literature", "failure_analysis"):
        assert not any(
            idea.recipe == "grpo" and idea.patch.get("learning_rate") == 1e-4 for idea in ideas_for(facts, brief)
        )


def test_a_slow_lora_is_asked_for_and_not_mixed_with_full_weights() -> None:
    slow = tree(task(*BOTH), LOW_FULL, {"gain": 0.03, "params": LORA}, {"gain": 0.04, "params": LORA | {"epochs": 6.0}})
    assert fitting_brief(slow) == ("failure_analysis", "lora-slow")
    assert "ten times the learning rate" in ideas_for(slow)[0].title
    assert not any("together" in idea.title for idea in ideas_for(slow, "frontier_extrapolation"))


def test_overfitting_is_asked_for() -> None:
    """Longer is worse; and a child that fell with its rows known by heart."""
    longer = tree(task(*BOTH), {"gain": 0.15, "params": {"epochs": 2.0}}, {"gain": 0.02, "params": {"epochs": 8.0}})
    heart = {"gain": 0.02, "parent": "exp_0001", "params": {"epochs": 8.0}, "readings": [MEMORISED]}
    for facts in (longer, tree(task(*BOTH), {"gain": 0.15, "params": {"epochs": 2.0}}, heart)):
        assert fitting_brief(facts) == ("failure_analysis", "overfit")
        assert "half the epochs" in ideas_for(facts)[0].title


@pytest.mark.parametrize("gain", [0.66, 0.70])
def test_near_the_end_of_the_scale_nothing_is_scaled(gain: float) -> None:
    facts = tree(task(*BOTH, base=0.3), {"gain": gain})
    assert fitting_brief(facts) == ("control", "exp_0001 is near the end of the scale")
    first = ideas_for(facts)[0]
    assert first.commands == ["evo gate power", "evo failures exp_0001"]
    assert f"exp_0001 scores {0.3 + gain:.3f}" in first.hypothesis


def test_all_at_zero_by_imitation_and_by_reward_is_looked_at_and_no_further_reward_is_tried() -> None:
    runs = [{"recipe": name, "gain": 0.0} for name in ("sft", "grpo", "rft")]
    facts = tree(task(*BOTH, base=0.0), *runs)
    assert fitting_brief(facts).brief == "failure_analysis"
    assert ideas_for(facts)[0].commands[0] == "evo failures exp_0003"
    briefs: tuple[Brief, ...] = ("failure_analysis", "literature")
    for brief in briefs:
        assert not any(idea.recipe == "rloo" for idea in ideas_for(facts, brief)[:3])
    assert recommend(facts.task.shapes, facts=facts).order[-1][1].name == "ppo"


def test_before_the_model_can_answer_at_all_no_way_to_reinforce_it_is_recommended() -> None:
    facts = tree(task(*BOTH, base=0.0))
    names = [technique.name for _, technique in recommend(facts.task.shapes, facts=facts).order]
    assert names[0] == "sft"
    assert names[-1] == "ppo"


def test_a_failure_of_long_ago_or_one_that_was_discarded_no_longer_leads() -> None:
    gaining = [{"gain": 0.1 * n, "params": {"epochs": float(n)}} for n in (1, 2, 3)]
    assert fitting_brief(tree(task(*BOTH), {"gain": 0.05}, BROKE)).brief == "failure_analysis"
    assert fitting_brief(tree(task(*BOTH), {"gain": 0.2}, BROKE | {"state": "discarded"})).brief != "failure_analysis"
    assert fitting_brief(tree(task(*BOTH), BROKE, *gaining)).brief == "frontier_extrapolation"
    three = [BROKE | {"params": {"epochs": 7.0 + n}} for n in range(3)]
    assert fitting_brief(tree(task(*BOTH), *three)).why == "3 failures of one kind"
    assert fitting_brief(tree(task(*BOTH), *three, *gaining)).brief == "frontier_extrapolation"
    assert due_brief(tree(task(*BOTH), *three, *gaining), {"literature": Asked()}) is None
    every = fitting_briefs(tree(task(*BOTH), *three, *gaining))
    assert sorted(due.brief for due in every) == ["control", "failure_analysis", "frontier_extrapolation", "literature"]


def test_below_chance_texts_come_first_as_the_diagnosis_says() -> None:
    """A17: what the base model does not know is not brought out of it."""
    shapes = ("verifiable", "demonstrations", "corpus")
    facts = tree(task(*shapes, base=0.107, chance=0.25), findings=["below-chance"])
    assert recommend(shapes, facts=facts).order[0][1].name == "pretrain"
    assert ideas_for(facts)[0].recipe == "pretrain"
    shown = tree(task(*shapes, base=0.107, chance=0.25))  # examples before the question lift it over chance
    assert "below-chance" not in situations(shown)
    assert ideas_for(shown)[0].recipe == "sft"


@pytest.mark.parametrize("objective", ["Write Python functions that pass unit tests", "answer sums"])
def test_code_is_known_by_the_mission_and_unverified_samples_do_not_come_first(objective: str) -> None:
    facts = tree(task("scorer", "demonstrations", scorer="custom", objective=objective))
    assert ("code" in situations(facts)) == ("Python" in objective)
    assert not any("self-distil" in idea.title for idea in ideas_for(facts, "literature"))
    runs = [{"recipe": "rft", "gain": 0.1}, {"recipe": "sft", "gain": 0.1}]
    stalled = tree(task("scorer", scorer="custom", objective=objective), *runs, rounds_without_gain=3)
    own = [idea for idea in ideas_for(stalled, "literature") if "self-distil" in idea.title]
    assert [idea.patch.get("temperature") for idea in own] == ([1.6] if "Python" in objective else [])


def test_rubrics_and_calls_are_known_by_the_mission() -> None:
    assert "rubric" in situations(tree(task("scorer", objective="Marks follow the rubric in design/")))
    assert "tool-calls" in situations(tree(task("verifiable", objective="function calling with typed arguments")))
    assert not {"rubric", "tool-calls", "code"} & situations(tree(task("verifiable", constraints=["encode nothing"])))


@pytest.mark.parametrize("shapes", [("demonstrations",), ("corpus",), (), BOTH])
def test_four_bits_are_for_those_who_lack_memory_and_have_demonstrations(shapes: tuple[Any, ...]) -> None:
    facts = tree(task(*shapes, has_cuda=True, model_parameters=1_500_000_000))
    assert not any("qlora" in idea.title for idea in ideas_for(facts, "literature"))
