"""The offline ideator on hand-made trees: right class, legal, new, and honest about what it rests on."""

from __future__ import annotations

import time

import pytest
from ideation import CONFIGS, TREES, task, tree

from evo.domain.idea import Idea, Reference
from evo.ideas.briefs import frontier
from evo.ideas.briefs.failures import clusters, signature
from evo.ideas.drafting import NO_REFERENCE
from evo.ideas.facts import Facts
from evo.ideas.insight import insight_of
from evo.ideas.judging import merged, unknown, varied
from evo.ideas.knowledge import load
from evo.ideas.novelty import is_known, novelty
from evo.ideas.ranking import ranked
from evo.ideas.recommend import SHAPES, recommend
from evo.ideas.rules import Rules
from evo.ideas.situations import situations
from evo.ideas.triggers import EVERY, Asked, due_brief, fitting_brief
from evo.lightdata import replace
from evo.workspace.params import apply_params


def ideas_for(facts: Facts, k: int = 5) -> list[Idea]:
    brief = fitting_brief(facts).brief
    return varied(merged(ranked(facts, unknown(facts, Rules().propose(facts, brief)))), k)


@pytest.mark.parametrize(
    ("name", "brief", "techniques", "answers"),
    [
        ("stuck at zero", "literature", {"grpo", "rloo"}, "stuck-at-zero"),  # another technique, not another dose
        ("plateau", "literature", {"grpo", "rloo", "rft", "sft"}, "plateau"),
        ("out-of-memory cluster", "failure_analysis", {"sft"}, "out-of-memory"),
        ("pairs only", "literature", {"dpo", "kto", "orpo"}, ""),
        ("demonstrations only", "literature", {"sft"}, ""),
        ("saturated reward", "failure_analysis", {"grpo"}, "reward-saturated"),
        ("forgetting", "failure_analysis", {"sft"}, "forgetting"),
        ("regression after RL", "failure_analysis", {"grpo"}, "regression"),
        ("base near perfect", "control", {"control"}, "near-perfect"),
        ("noisy overlap", "control", {"control"}, "overlapping-best"),
    ],
)
def test_the_first_idea_is_of_the_right_class_legal_new_and_says_what_it_rests_on(
    name: str, brief: str, techniques: set[str], answers: str
) -> None:
    facts = TREES[name]
    assert fitting_brief(facts).brief == brief
    first = ideas_for(facts)[0]
    assert first.brief == brief
    assert first.technique in techniques
    assert not answers or f"answers {answers}" in first.confidence
    assert first.refuted_by
    assert first.hypothesis
    assert first.title
    assert first.references or NO_REFERENCE in first.rationale
    for idea in ideas_for(facts):
        assert not is_known(facts, idea)
        if not idea.recipe:
            assert idea.commands
            assert idea.gain is None
            continue
        apply_params(CONFIGS[idea.recipe], idea.patch)
        assert idea.low is not None
        assert idea.gain is not None
        assert idea.high is not None
        assert idea.low < idea.gain < idea.high


def test_less_memory_is_what_an_out_of_memory_cluster_is_answered_with() -> None:
    facts = TREES["out-of-memory cluster"]
    (cluster,) = clusters(facts)
    assert cluster.kind == "out_of_memory"
    assert len(cluster.nodes) == 3
    first, second, *_ = ideas_for(facts)
    assert first.patch.get("batch_size", 8) == 8
    assert first.patch["gradient_accumulation"] == 2
    assert second.patch["method"] == "lora"
    assert second.patch["learning_rate"] == pytest.approx(5e-4)
    assert first.based_on == ["exp_0003", "exp_0002", "exp_0001"]


def test_logs_are_one_kind_of_failure_whatever_their_numbers_and_paths() -> None:
    one = "step 3\nRuntimeError: shape [3, 4] at /home/a/x.py"
    assert signature(one) == signature("RuntimeError: shape [17, 2] at /srv/b/y.py\n\n")
    assert signature(one) != signature("KeyError: 'prompt'")
    names = [{"recipe": "sft", "failure": "nonzero_exit", "log_tail": "loss is nan at step 7"}]
    assert clusters(tree(task("demonstrations"), *names))[0].kind == "nan"


def test_reward_is_decided_before_technique() -> None:
    """A1: each reward shape has its techniques; PPO is named and has no recipe."""
    by_shape = {shape: [each.name for known, each in recommend([shape]).order if known == shape] for shape in SHAPES}
    assert by_shape == {
        "verifiable": ["grpo", "rloo", "ppo"], "pairs": ["dpo", "kto", "orpo"], "demonstrations": ["sft"],
        "scorer": ["rft"], "corpus": ["pretrain"],
    }  # fmt: skip
    for shape in SHAPES:
        for _, technique in recommend([shape]).order:
            assert technique.name == "ppo" if not technique.recipe else technique.recipe in CONFIGS


def test_priors_come_in_their_order_and_a_tree_may_speak_against_the_recommendation() -> None:
    """A22: trusted reward, clean held-out, fresh data, LoRA's rate, in this order; a prior is no rule."""
    words = [prior.name for prior in recommend(["pairs"]).priors]
    places = [next(i for i, text in enumerate(words) if key in text) for key in ("reward", "held-out", "fresh", "LoRA")]
    assert places == sorted(places)
    facts = TREES["stuck at zero"]
    told = recommend(facts.task.shapes, facts=facts)
    assert told.order[-1][1].name in ("sft", "ppo")
    assert any(note.startswith("sft: ") for note in told.notes)


def test_a_brief_is_due_before_the_first_experiment_on_a_plateau_and_by_counts_alone() -> None:
    """A4, A34: literature once at the start and again on a plateau; five commits; three related failures."""
    fresh = tree(task("demonstrations"))
    due = due_brief(fresh, {})
    assert due is not None
    assert due.brief == "literature"
    assert due_brief(fresh, {"literature": Asked()}) is None
    assert due_brief(tree(task("demonstrations", base=None)), {}) is None
    gaining = tree(task("demonstrations"), {"gain": 0.02}, {"gain": 0.03, "params": {"epochs": 2.0}})
    assert due_brief(gaining, {"literature": Asked()}) is None  # other experiments need no pass
    stalled = TREES["plateau"]
    again = due_brief(stalled, {"literature": Asked()})
    assert again is not None
    assert again.brief == "literature"
    assert due_brief(stalled, {"literature": Asked(experiments=4)}) is None  # asked for this plateau already
    failures = TREES["out-of-memory cluster"]
    due = due_brief(failures, {"literature": Asked(experiments=3)})
    assert due is not None
    assert due.brief == "failure_analysis"
    assert due_brief(failures, {"literature": Asked(experiments=3), "failure_analysis": Asked(failures=3)}) is None
    committed = [{"gain": 0.01 * n, "state": "committed", "params": {"epochs": float(n)}} for n in range(1, EVERY + 1)]
    due = due_brief(tree(task("demonstrations"), *committed), {"literature": Asked()})
    assert due is not None
    assert due.brief == "frontier_extrapolation"


def test_the_frontier_is_scaled_combined_and_refined_from_measured_gains() -> None:
    facts = tree(
        task("verifiable", "demonstrations"),
        {"recipe": "sft", "gain": 0.08, "params": {"learning_rate": 1e-4}},
        {"recipe": "sft", "gain": 0.02},
        {"recipe": "rft", "gain": 0.05},
    )
    ideas = frontier.propose(facts, load())
    assert ideas[0].title.startswith("scale exp_0001")
    assert ideas[0].patch == {"learning_rate": 1e-4, "epochs": 6.0}
    further = next(idea for idea in ideas if idea.title.startswith("further along learning_rate"))
    assert further.patch["learning_rate"] > 1e-4
    combined = next(idea for idea in ideas if "on top of" in idea.title)
    assert combined.recipe == "rft"
    assert combined.parent == "exp_0001"
    assert any(idea.title.startswith("refine exp_0001: learning_rate") for idea in ideas)
    rewarded = tree(
        task("verifiable", "demonstrations"), {"gain": 0.08}, {"recipe": "grpo", "gain": 0.3, "parent": "exp_0001"}
    )
    titles = [idea.title for idea in frontier.propose(rewarded, load())]
    assert not any("once more what exp_0001 did" in title for title in titles), "imitation undoes what a reward taught"
    nothing = tree(task("demonstrations"), {"gain": -0.02})
    assert frontier.propose(nothing, load()) == []


def test_a_reference_that_leads_elsewhere_cannot_rank_and_checked_comes_before_remembered() -> None:
    """A34: rank has-code > replicated > specific > recent; checked before memory."""
    facts = tree(task("verifiable", "demonstrations"))
    plain = Idea("plain", "literature", "grpo", "h", recipe="grpo")
    links = [Reference("https://arxiv.org/abs/2501.00001", "arxiv", "t", "f", "verified")]
    elsewhere = [replace(links[0], status="mismatch")]
    order = [
        replace(plain, title="checked, code", confidence=["checked claim", "has code", "replicated", "specific"]),
        replace(plain, title="not replicated", confidence=["checked claim", "has code", "specific"]),
        replace(plain, title="recent", confidence=["checked claim", "has code"], references=links),
        replace(plain, title="not specific", confidence=["checked claim", "has code"]),
        replace(plain, title="remembered", confidence=["remembered claim", "has code", "replicated", "specific"]),
        replace(plain, title="no code", recipe="", confidence=["checked claim", "replicated", "specific"]),
        replace(plain, title="mismatch", confidence=["checked claim", "has code"], references=elsewhere),
    ]
    assert [idea.title for idea in ranked(facts, order[::-1])] == [idea.title for idea in order]


def test_a_technique_that_was_given_up_twice_is_pushed_down() -> None:
    given_up = {"recipe": "kto", "gain": -0.01, "state": "discarded", "discard_class": "hypothesis"}
    facts = tree(task("pairs"), given_up, given_up | {"params": {"beta": 0.2}})
    ideas = ideas_for(facts, k=50)
    kto = [place for place, idea in enumerate(ideas) if idea.technique == "kto"]
    others = [place for place, idea in enumerate(ideas) if idea.technique != "kto" and idea.recipe]
    assert ranked(facts, ideas)[0].technique in ("dpo", "orpo")
    assert not kto or min(kto) > min(others)


def test_distance_is_nought_for_the_same_step_and_counts_decades() -> None:
    facts = tree(task("demonstrations"), {"recipe": "sft", "gain": 0.01, "params": {"learning_rate": 1e-4}})
    step = Idea("x", "literature", "sft", "h", parent="exp_0000", recipe="sft", patch={"learning_rate": 1e-4})
    assert novelty(facts, step).distance == 0
    assert is_known(facts, step)
    near, far = (novelty(facts, replace(step, patch={"learning_rate": rate})) for rate in (2e-4, 1e-5))
    assert 0.1 < near.distance < far.distance <= 1
    assert far.differs == "exp_0001 with learning_rate 1e-05 instead of 0.0001"
    assert not is_known(facts, replace(step, parent="exp_0001"))
    assert novelty(facts, replace(step, recipe="dpo", technique="dpo")).distance == 1


def test_an_insight_is_what_was_written_else_what_the_facts_give() -> None:
    facts = tree(
        task("demonstrations"),
        {"gain": 0.05, "params": {"epochs": 6.0}},
        {"gain": 0.05, "params": {"epochs": 9.0}, "insight": "enough is enough"},
        {"failure": "timeout", "params": {"epochs": 99.0}},
    )
    assert insight_of(facts, "exp_0001") == ("sft with epochs 6 (was 3): +0.050 [+0.030, +0.070] over exp_0000: a gain")
    assert insight_of(facts, "exp_0002") == "enough is enough"
    assert insight_of(facts, "exp_0003").endswith("failed (timeout)")


def test_situations_are_words_of_the_knowledge_base() -> None:
    known = situations(TREES["plateau"])
    assert {"verifiable", "demonstrations", "plateau", "rl-done", "base-some", "small-model"} <= known
    assert "stuck-at-zero" in situations(TREES["stuck at zero"])
    assert "before-rl" in situations(TREES["pairs only"])


def test_a_recipe_that_starts_from_the_base_does_nothing_new_from_another_parent() -> None:
    """Its content would be that of a finished experiment, and `evo run` would refuse it."""
    step = {"recipe": "grpo", "params": {"learning_rate": 1e-5}}
    facts = tree(
        task("verifiable", "demonstrations"),
        {**step, "gain": 0.10},
        {"recipe": "grpo", "gain": 0.20, "parent": "exp_0001"},
        {"recipe": "dpo", "gain": 0.05},
    )
    again = Idea("again", "frontier_extrapolation", "grpo", "h", "exp_0002", "grpo", {"learning_rate": 1e-5})
    assert not is_known(facts, again)
    assert "from exp_0002 instead of exp_0000" in novelty(facts, again).differs
    assert {"once more what exp_0001 did, from exp_0002", "dpo of exp_0003 on top of exp_0002"} <= titles(facts)
    recipes = {name: replace(recipe, init_from="base") for name, recipe in facts.recipes.items()}
    nodes = {id: replace(node, start="base") for id, node in facts.nodes.items()}
    from_base = replace(facts, recipes=recipes, nodes=nodes)
    assert is_known(from_base, again)
    assert novelty(from_base, again).differs == "exp_0001 is this step"
    assert not [title for title in titles(from_base) if "once more" in title or "on top of" in title]
    warm = replace(from_base, nodes={id: replace(node, start="exp_0003") for id, node in nodes.items()})
    assert not is_known(warm, again), "started from an artifact, it was another step"


def titles(facts: Facts) -> set[str]:
    return {idea.title for idea in Rules().propose(facts, "frontier_extrapolation")}


def test_a_tree_of_thousands_is_extrapolated_in_a_moment() -> None:
    """In the loop's only thread: linear in the tree, with the largest differences first."""
    steps = [{"recipe": "dpo", "gain": k / 10_000, "params": {"beta": 0.1 + k / 10_000}} for k in range(4000)]
    facts = tree(task("pairs"), *steps)
    began = time.process_time()
    found = Rules().propose(facts, "frontier_extrapolation")
    assert time.process_time() - began < 1.5
    further = [idea for idea in found if idea.title.startswith("further along beta")]
    assert further
    assert "exp_4000 lies 0.400 above exp_0001" in further[0].hypothesis
    assert further[0].patch["beta"] > 0.4999
