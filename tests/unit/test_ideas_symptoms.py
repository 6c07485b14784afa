"""What runs show beside their score, on hand-made trees: the first answer is the one that a researcher would give."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from ideation import CONFIGS, task, tree

from evo.domain.idea import Brief, Idea
from evo.ideas.briefs import frontier
from evo.ideas.facts import Facts
from evo.ideas.judging import merged, unknown, varied
from evo.ideas.knowledge import load
from evo.ideas.ranking import ranked
from evo.ideas.recommend import BY_SHAPE
from evo.ideas.rules import Rules
from evo.ideas.situations import situations
from evo.ideas.symptoms import MEMORISED
from evo.ideas.triggers import fitting_brief
from evo.lightdata import replace
from evo.store import db as database
from evo.store import trials
from evo.store.whole import Ended
from evo.workspace.params import apply_params

BOTH = ("verifiable", "demonstrations")


def ideas_for(facts: Facts, brief: Brief | None = None) -> list[Idea]:
    name = brief or fitting_brief(facts).brief
    found = varied(merged(ranked(facts, unknown(facts, Rules().propose(facts, name)))), 8)
    for idea in found:
        if idea.recipe:
            apply_params(CONFIGS[idea.recipe], idea.patch)
    return found


def nan_at(*rates: float) -> Iterator[dict[str, object]]:
    for rate in rates:
        yield {
            "failure": "dtype", "state": "pending", "log_tail": "loss is not finite at step 3",
            "params": {"learning_rate": rate},
        }  # fmt: skip


HACKED = {"recipe": "grpo", "gain": 0.03, "readings": ["reward-saturated", "generalisation-gap", "length"]}
HEDGING = {"recipe": "grpo", "gain": 0.03, "readings": ["hedging"], "params": {"learning_rate": 1e-5}}
UNSTEADY = {"recipe": "grpo", "gain": -0.1, "readings": ["instability"], "params": {"learning_rate": 1e-4}}
KNOWN_BY_HEART = {"gain": -0.05, "readings": [MEMORISED], "params": {"epochs": 20.0}}
FULL = {"gain": 0.15, "params": {"epochs": 2.0}}
SLOW_LORA = {"gain": 0.01, "params": {"epochs": 2.0, "method": "lora"}}

TREES: dict[str, tuple[Facts, Brief, str, str]] = {
    "verifiable alone": (tree(task("verifiable")), "literature", "grpo", "DeepSeekMath"),
    "verifiable, with demonstrations": (tree(task(*BOTH)), "literature", "grpo", "DeepSeekMath"),
    "pairs": (tree(task("pairs")), "literature", "dpo", "Direct Preference Optimization"),
    "demonstrations": (tree(task("demonstrations")), "literature", "sft", "follow instructions"),
    "a scorer": (tree(task("scorer", "demonstrations")), "literature", "rft", "RAFT"),
    "texts": (tree(task("corpus")), "literature", "pretrain", "Don't Stop Pretraining"),
    "length explosion": (tree(task(*BOTH), HACKED), "failure_analysis", "grpo", "Length Correlations"),
    "several answers at once": (tree(task(*BOTH), HEDGING), "failure_analysis", "grpo", ""),
    "an unsteady reward": (tree(task("scorer"), UNSTEADY), "failure_analysis", "grpo", "REINFORCE++"),
    "rows known by heart": (tree(task("demonstrations"), KNOWN_BY_HEART), "failure_analysis", "sft", ""),
}


@pytest.mark.parametrize("name", TREES)
def test_the_first_idea_is_the_researchers_and_its_paper_speaks_of_it(name: str) -> None:
    facts, brief, technique, paper = TREES[name]
    assert fitting_brief(facts).brief == brief
    first = ideas_for(facts)[0]
    assert first.technique == technique
    assert [paper in one.title for one in first.references[:1]] == [True] * bool(paper)
    assert all(one.status == "verified" for one in first.references[:1])


def test_a_reward_that_is_won_by_tricks_is_looked_at_before_it_is_reinforced_again() -> None:
    first, second, *_ = ideas_for(TREES["length explosion"][0])
    assert first.commands == ["evo failures exp_0001", "evo recipe copy grpo grpo-stricter"]
    assert second.patch["beta"] == 0.05
    assert "Overoptimization" in second.references[0].title
    assert "reward-saturated" not in situations(TREES["length explosion"][0])
    honest = tree(task(*BOTH), HACKED | {"readings": ["reward-saturated"]})
    assert "reward-hacked" not in situations(honest)
    imitation = tree(task(*BOTH), HACKED | {"recipe": "sft"})
    assert "reward-hacked" not in situations(imitation)


def test_where_steps_are_unsteady_a_scorer_is_filtered_by_instead() -> None:
    """A1: scorer and stability, RFT; from the weights before the fall."""
    other = next(idea for idea in ideas_for(TREES["an unsteady reward"][0]) if idea.recipe == "rft")
    assert other.parent == "exp_0000"
    assert "RAFT" in other.references[0].title


def test_a_loss_that_is_no_number_is_answered_below_the_least_rate_that_was_tried() -> None:
    """A5: what a smoke run is refused for counts, whatever its class calls it."""
    facts = tree(task("demonstrations"), *nan_at(5e-3, 1e-2, 2e-2))
    assert fitting_brief(facts) == ("failure_analysis", "3 failures of one kind")
    first, second, *_ = ideas_for(facts)
    assert first.patch["learning_rate"] <= 5e-3 / 3
    assert first.based_on == ["exp_0003", "exp_0002", "exp_0001"]
    assert second.patch["method"] == "lora"
    assert second.patch["learning_rate"] == pytest.approx(10 * CONFIGS["sft"].params["learning_rate"].default)
    near = tree(task("demonstrations"), *nan_at(6e-5))
    assert ideas_for(near)[0].patch["learning_rate"] == pytest.approx(2e-5)


def test_what_a_larger_dose_has_lost_is_not_scaled_and_noise_is_no_direction() -> None:
    longer = {"gain": 0.0, "params": {"epochs": 20.0}}
    titles = [idea.title for idea in frontier.propose(tree(task("demonstrations"), FULL, longer), load())]
    assert not [title for title in titles if title.startswith("scale")]
    assert titles[0].startswith("further along epochs")
    alike = {"gain": 0.14, "params": {"epochs": 20.0}}
    titles = [idea.title for idea in frontier.propose(tree(task("demonstrations"), FULL, alike), load())]
    assert titles[0] == "scale exp_0001: twice the epochs"
    assert not [title for title in titles if title.startswith("further")]
    assert not [title for title in titles if "lora_rank" in title]
    assert "overfit" in situations(tree(task("demonstrations"), FULL, longer))
    faster = longer | {"params": {"epochs": 20.0, "learning_rate": 1e-3}}
    assert "overfit" not in situations(tree(task("demonstrations"), FULL, faster))


def test_a_lora_at_the_rate_of_full_weights_is_given_ten_times_as_much() -> None:
    """A22: a LoRA wants about ten times the rate."""
    first = ideas_for(tree(task("demonstrations"), FULL, SLOW_LORA), "failure_analysis")[0]
    assert first.patch["method"] == "lora"
    assert first.patch["learning_rate"] == pytest.approx(10 * CONFIGS["sft"].params["learning_rate"].default)
    assert first.references[0].title == "LoRA Without Regret"
    fast = SLOW_LORA | {"params": {"method": "lora", "learning_rate": 5e-4}}
    assert "lora-slow" not in situations(tree(task("demonstrations"), FULL, fast))


def test_a_paper_never_stands_beside_a_step_that_goes_the_other_way() -> None:
    """ORPO's beta weighs the preference: what holds DPO back would push it on."""
    lost = tree(task("pairs"), {"recipe": "orpo", "gain": -0.1})
    ideas = ideas_for(lost, "failure_analysis")
    assert ideas
    assert not [idea for idea in ideas if idea.patch.get("beta", 0.0) > CONFIGS["orpo"].params["beta"].default]
    lost = tree(task(*BOTH), {"recipe": "grpo", "gain": 0.1, "readings": ["generalisation-gap"]})
    shorter = next(idea for idea in ideas_for(lost, "failure_analysis") if "half the epochs" in idea.title)
    assert shorter.references == []


def test_every_technique_is_introduced_by_the_claim_that_speaks_of_it() -> None:
    base = load()
    for techniques in BY_SHAPE.values():
        for each in techniques:
            if each.recipe:
                assert base.claims[each.origin].recipe == each.recipe
                assert base.claims[each.origin].level == "checked"


def test_more_of_the_same_is_no_news_from_the_literature() -> None:
    """A plateau of GRPO is not answered with GRPO as it was."""
    facts = tree(
        task("verifiable"), {"recipe": "grpo", "gain": 0.1, "params": {"learning_rate": 1e-5}}, rounds_without_gain=3
    )
    for idea in ideas_for(facts, "literature"):
        assert idea.recipe != "grpo" or idea.patch != {"learning_rate": 1e-5}


def test_a_refused_trial_is_kept_until_the_experiment_passes(tmp_path: Path) -> None:
    path = tmp_path / "evo.db"
    database.create(path)
    with database.opened(path) as db:
        trials.remember(db, "exp_0001", Ended("dtype", "loss is not finite"))
        trials.remember(db, "exp_0001", Ended("out_of_memory", "training ran out of memory"))
        trials.remember(db, "exp_0002", Ended("score", "nothing is right"))
        trials.remember(db, "exp_0002", None)
    with database.opened(path, readonly=True) as db:
        assert trials.refused(db) == {"exp_0001": Ended("out_of_memory", "training ran out of memory")}


def test_what_a_command_cannot_be_asked_is_not_proposed() -> None:
    """`evo diagnose --format` and another temperature are refused, or in vain, where a command asks the questions."""
    stuck = [{"recipe": "sft", "gain": 0.0, "params": {"epochs": float(n)}} for n in (1, 2)]
    for is_asked_here in (True, False):
        facts = tree(task(*BOTH, base=0.0, is_asked_here=is_asked_here), *stuck)
        briefs: tuple[Brief, ...] = ("failure_analysis", "control")
        typed = " ".join(command for brief in briefs for idea in ideas_for(facts, brief) for command in idea.commands)
        assert "evo failures exp_0002" in typed
        assert ("evo diagnose --format" in typed) == is_asked_here
        assert ("temperature" in typed) == is_asked_here


def test_commands_as_json_are_calls_of_tools() -> None:
    found = ideas_for(tree(task("verifiable", scorer="json_cmd")), "literature")
    assert "tool-calls" in situations(tree(task("verifiable", scorer="json_cmd")))
    assert "ToolRL" in " ".join(one.title for idea in found for one in idea.references)
    plain = ideas_for(tree(task("verifiable")), "literature")
    assert "ToolRL" not in " ".join(one.title for idea in plain for one in idea.references)


def test_the_best_of_many_equal_runs_is_repeated_before_anything_is_built_on_it() -> None:
    runs = [{"gain": -0.002, "params": {"epochs": float(n)}} for n in range(1, 6)]
    facts = tree(task("demonstrations"), *runs, {"gain": 0.018, "params": {"epochs": 9.0}})
    assert fitting_brief(facts) == ("control", "the best may be luck")
    assert ideas_for(facts)[0].commands == ["evo run exp_0006 --seed 43"]
    adopted = tree(task("demonstrations"), *runs, {"gain": 0.018, "params": {"epochs": 9.0}, "further": None})
    assert not any("--seed" in command for idea in ideas_for(adopted) for command in idea.commands)
    clear = tree(task("demonstrations"), *runs, {"gain": 0.08, "params": {"epochs": 9.0}})
    assert fitting_brief(clear).brief == "frontier_extrapolation"


CUT = {"recipe": "grpo", "gain": 0.02, "readings": ["truncated-outputs"], "params": {"learning_rate": 1e-5}}


def test_answers_that_are_cut_off_get_more_room_as_far_as_evaluation_allows() -> None:
    def first(**more: object) -> Idea:
        return ideas_for(tree(task(*BOTH, **more), CUT))[0]  # type: ignore[arg-type]

    assert fitting_brief(tree(task(*BOTH), CUT)).brief == "failure_analysis"
    roomy, tight = first(answer_tokens=2048), first(answer_tokens=256)
    assert (roomy.patch["max_new_tokens"], roomy.patch["mask_truncated"]) == (512, True)
    assert ("max_new_tokens" in tight.patch, tight.patch["mask_truncated"]) == (False, True)
    assert "DAPO" in roomy.references[0].title


def test_what_mission_recipes_and_rows_say_of_the_task() -> None:
    """Situations without which a claim is about somebody else's task."""
    plain = tree(task(*BOTH))
    assert not {"teacher", "noisy-labels", "multi-reward"} & situations(plain)
    assert "teacher" in situations(tree(task("demonstrations", objective="Distil the large model into this one")))
    assert "teacher" in situations(tree(task("demonstrations", constraints=["the teacher is not asked twice"])))
    assert "noisy-labels" in situations(tree(task("pairs", disagreement=0.05)))
    assert "noisy-labels" not in situations(tree(task("pairs", disagreement=0.04)))
    two = replace(plain.recipes["grpo"], rewards=2)
    several = replace(plain, recipes={**plain.recipes, "grpo": two})
    assert "multi-reward" in situations(several)
    assert "GDPO" in " ".join(one.title for idea in ideas_for(several, "literature") for one in idea.references)
