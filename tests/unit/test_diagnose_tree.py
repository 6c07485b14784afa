"""What the tree says of the search: each rule fires on its facts, and not on the nearest ones beside them."""

from __future__ import annotations

import pytest

from evo.diagnose.forms import Evidence, FormCount, asked_for, expected_of, form_of, forms_in, verdict
from evo.diagnose.modes import Answer, failure_modes
from evo.diagnose.priors import PRIORS
from evo.diagnose.tree import (
    Decisions,
    Move,
    Reached,
    Rewarded,
    Task,
    TreeFacts,
    diagnose,
    of_format,
    same_score,
)

ZERO = Task(base=0.0)


def reached(*scores: float, names: str = "sft dpo grpo rft", n: int = 100, runs: int = 1) -> list[Reached]:
    rows = zip(names.split(), scores, strict=False)
    return [
        Reached(name, f"exp_000{i}", score, (score * (1 - score) / n) ** 0.5, n, runs)
        for i, (name, score) in enumerate(rows, 1)
    ]


def fired(**facts: object) -> list[str]:
    return [found.kind for found in diagnose(TreeFacts(**({"task": Task(base=0.4)} | facts)))]  # type: ignore[arg-type]


def test_zero_after_two_sft_runs_asks_for_another_technique() -> None:
    """A16: not after one run, not where anything got off zero, not on a task without a scorer that verifies."""
    twice = reached(0.0, runs=2)
    assert fired(task=ZERO, reached=twice) == ["stuck-at-zero"]
    (found,) = diagnose(TreeFacts(task=ZERO, reached=twice))
    assert "--recipe grpo" in found.next
    assert found.evidence["runs"] == 2
    assert fired(task=ZERO, reached=reached(0.0, runs=1)) == []
    assert fired(task=ZERO, reached=[*twice, *reached(0.01, names="rft")]) == []
    assert fired(task=ZERO, reached=reached(0.0, names="grpo", runs=2)) == []
    assert fired(task=Task(base=0.0, is_verifiable=False), reached=twice) == []
    assert fired(task=Task(low=None, high=None, base=0.0), reached=twice) == []
    errors = Task(sign=-1.0, base=1.0)
    assert fired(task=errors, reached=reached(1.0, runs=2)) == ["stuck-at-zero"], "less is better: the worst is 1"


@pytest.mark.parametrize(
    ("task", "kinds"),
    [
        (Task(base=0.2, chance=0.25), ["below-chance"]),
        (Task(base=0.2, chance=0.25, few_shot=0.22), ["below-chance"]),
        (Task(base=0.2, chance=0.25, few_shot=0.3), []),
        (Task(base=0.25, chance=0.25), []),
        (Task(base=0.2), []),
        (Task(base=None, chance=0.25), []),
        (Task(base=0.8, chance=0.75, sign=-1.0), ["below-chance"]),
    ],
)
def test_a_base_below_chance_is_no_case_for_post_training(task: Task, kinds: list[str]) -> None:
    """A17: unless examples before the question show that it knows, and lacks the form alone."""
    assert fired(task=task) == kinds


def test_moves_that_bring_nothing_exhaust_their_method() -> None:
    """A18: three in a row of the technique at work; one gain among them, and it is not exhausted."""

    def moves(*deltas: float | None) -> list[Move]:
        return [Move(f"exp_000{i}", delta) for i, delta in enumerate(deltas, 1)]

    assert fired(technique="sft", moves=moves(0.0, -0.02, -0.01)) == ["exhausted"]
    assert fired(technique="sft", moves=moves(0.0, None, -0.01, 0.05)) == ["exhausted"], "regressed by mid-evaluation"
    assert fired(technique="sft", moves=moves(0.0, -0.02)) == []
    assert fired(technique="sft", moves=moves(-0.01, 0.001, -0.02, -0.01)) == []
    (found,) = diagnose(TreeFacts(Task(), technique="sft", moves=moves(0.0, -0.1, -0.1, 0.05)))
    assert "since exp_0004" in found.message


def test_one_score_by_three_techniques_is_suspect() -> None:
    """A19: not by two, not at zero, not at the top, not where one of them got further."""
    assert fired(reached=reached(0.3, 0.3, 0.31)) == ["same-score"]
    assert fired(reached=reached(0.3, 0.3)) == []
    assert fired(reached=reached(0.3, 0.3, 0.36)) == []
    assert fired(reached=reached(0.3, 0.3, 0.3, 0.5)) == [], "the score can be moved, and was"
    assert fired(reached=reached(0.0, 0.0, 0.0), task=Task(is_verifiable=False)) == []
    assert fired(reached=reached(1.0, 1.0, 0.99)) == []
    found = same_score(Task(), reached(0.3, 0.3, 0.3, 0.1))
    assert found is not None
    assert (found.severity, found.evidence["techniques"]) == ("block", ["dpo", "grpo", "sft"])
    assert not any(digit in found.message for digit in "0123456789"), "a message is the same after one more run"


def test_rewards_at_an_end_and_rewards_that_do_not_carry_over() -> None:
    """A28: readings of single runs, lifted to the tree."""
    good, top, bottom = (Rewarded(f"exp_{i}", reward, 0.5, 0.05) for i, reward in enumerate((0.55, 0.99, 0.01)))
    assert fired(rewarded=[good]) == []
    assert fired(rewarded=[bottom, good]) == ["reward-saturated"]
    assert fired(rewarded=[top]) == ["reward-saturated", "generalization-gap"]
    assert fired(rewarded=[Rewarded("exp_1", 0.59, 0.5, 0.05)]) == []
    assert fired(rewarded=[Rewarded("exp_1", 0.65, 0.5, 0.05)]) == ["generalization-gap"]
    less = Task(sign=-1.0)
    assert fired(task=less, rewarded=[Rewarded("exp_1", 0.3, 0.5, 0.05)]) == ["generalization-gap"]


def test_dev_wears_out() -> None:
    """Yes or no: by more decisions than items, or where the best is what luck among so many gives."""
    assert fired(decisions=Decisions(40, 100, best="exp_0007", gain=0.10, gain_se=0.04)) == ["dev-worn"]
    assert fired(decisions=Decisions(40, 100, best="exp_0007", gain=0.12, gain_se=0.04)) == []
    assert fired(decisions=Decisions(19, 100, best="exp_0007", gain=0.0, gain_se=0.04)) == [], "young"
    assert fired(decisions=Decisions(100, 100, best="exp_0007", gain=0.5, gain_se=0.04)) == ["dev-worn"]
    (found,) = diagnose(TreeFacts(Task(), decisions=Decisions(40, 100, "exp_0002", "exp_0007", 0.1, 0.04)))
    assert found.next == "evo certify exp_0007"
    assert found.evidence["expected_by_luck"] == pytest.approx(0.04 * (2 * 3.6888794541) ** 0.5)


def test_format_first() -> None:
    """Examples that lift the base say so, and where the interval holds nothing they do not."""
    told = {"zero_shot": 0.1, "few_shot": 0.3, "delta": 0.2, "low": 0.1, "high": 0.3, "n": 64, "shots": 4}
    assert of_format(told).kind == "format-first"
    assert of_format(told | {"low": -0.01}).kind == "format-in-order"
    assert of_format(told | {"low": -0.3, "high": -0.1}, sign=-1.0).kind == "format-first"


def test_nothing_fires_on_a_young_and_healthy_tree() -> None:
    assert fired() == []
    healthy = {
        "reached": reached(0.6, 0.5, 0.7), "technique": "grpo", "moves": [Move("exp_3", 0.1), Move("exp_2", -0.1)],
        "rewarded": [Rewarded("exp_3", 0.72, 0.7, 0.04)], "decisions": Decisions(3, 100, gain=0.3, gain_se=0.05),
    }  # fmt: skip
    assert fired(**healthy) == []


@pytest.mark.parametrize(
    ("text", "name", "answer"),
    [
        (r"so it is \boxed{12}.", r"\boxed{…}", "12"),
        (r"\boxed{\frac{1}{2}}", r"\boxed{…}", r"\frac{1}{2}"),
        ("Let us see.\nANSWER: 12", "ANSWER: …", "12"),
        ("Therefore the answer is 12.", "the answer is …", "12"),
        ("#### 12", "#### …", "12"),
        ("<answer> B </answer>", "<answer>…</answer>", "B"),
        ('{"cmd": "ls"}', "JSON", '{"cmd": "ls"}'),
        ("12", "the bare answer", "12"),
        ("First one adds.\nThen one carries.", "running text", "First one adds.\nThen one carries."),
    ],
)
def test_where_an_answer_stands(text: str, name: str, answer: str) -> None:
    """D5: the form of an answer and where it ends."""
    assert (form_of(text).name, form_of(text).answer) == (name, answer)


def test_training_that_teaches_another_form_than_evaluation_reads() -> None:
    r"""A19, D5: `\boxed{X}` against `ANSWER: X`."""
    taught = forms_in([rf"it is \boxed{{{k}}}" for k in range(9)] + ["#### 4"])
    assert taught[0] == FormCount(r"\boxed{…}", 9, 10)
    assert forms_in([r"\boxed{1} and this is why"])[0].name == r"\boxed{…}, and text after it"
    asked = asked_for(["End with ANSWER: X", "End  with Answer : X"])
    assert asked == ["ANSWER: …"]
    said = verdict(Evidence(taught, asked, [], scored=10, right=0))
    assert r"none of 10 training answers is right" in said
    assert r"teaches \boxed{…}, evaluation reads ANSWER: …" in said
    same = Evidence(forms_in(["ANSWER: 3"]), asked, [], scored=10, right=10)
    assert "10 of 10 training answers are right" in verdict(same)
    assert expected_of(r"it is \boxed{7}", ["7", "8"]) == "7"
    assert expected_of(r"\boxed{7}", [r"\boxed{8}"]) == r"\boxed{7}"
    assert expected_of("7", [r"\boxed{8}"]) == "7"


def test_failure_modes_are_laid_to_data_training_or_inference() -> None:
    """D12: at most three, the widest first; an experiment that is wrong here and there has none."""

    def answers(
        n: int, output: str, *, score: float = 0.0, slice: str | None = None, base: float = 0.0
    ) -> list[Answer]:
        return [Answer(slice, f"target {k}", output.format(k=k), score, base) for k in range(n)]

    def modes(found: list[Answer]) -> list[tuple[str, str]]:
        return [(mode.label, mode.name) for mode in failure_modes(found)]

    right = answers(20, "target {k}", score=1.0)
    assert modes(right + answers(8, "I say target {k}.")) == [("inference-template", "answer-not-read")]
    assert modes(right + answers(8, "")) == [("inference-template", "empty")]
    assert modes(right + answers(8, "number {k} <|im_end|>")) == [("inference-template", "template-markers")]
    assert modes(right + answers(8, "always this")) == [("training", "one-answer")]
    assert modes(right + answers(8, "{k} so so so so")) == [("training", "loops")]
    assert modes(right + answers(8, "wrong {k}", base=1.0)) == [("training", "forgotten")]
    hard = answers(10, "target {k}", score=1.0, slice="easy") + answers(6, "wrong {k}", slice="carry")
    assert modes(hard) == [("data", "slice")]
    assert modes(right + answers(4, "")) == [], "too few to say"
    assert modes(right + answers(20, "wrong {k}") + answers(4, "")) == []
    many = answers(9, "", base=1.0, slice="a") + answers(9, "target {k}", score=1.0, slice="b")
    assert len(modes(many)) <= 3


def test_priors_stand_in_their_order() -> None:
    """A22."""
    assert ["reward" in PRIORS[0].name, "held-out" in PRIORS[1].name, "on-policy" in PRIORS[2].name] == [True] * 3
    assert "rank 32" in PRIORS[3].name
    assert "ten times" in PRIORS[3].name
