"""When the held-out question is asked, and at which level."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from evo.gate.asking import History, Question, after, alpha_of, bar, judge, refusal, strict_alpha, zeta
from evo.gate.decision import GateRules

RULES = GateRules(mode="certify", alpha=0.05, min_gain=0.0, looks=20)
FRESH = History(looks=0, passes=0, failed_zeta=None, asked=frozenset())


def question(evidence: float, candidate: str = "exp_0003", reference: str = "exp_0000") -> Question:
    return Question(candidate, reference, f"w{candidate}", f"w{reference}", evidence)


def test_evidence_is_the_posterior_gain_over_its_deviation() -> None:
    assert zeta(0.03, 4e-4) == pytest.approx(1.5)
    assert zeta(0.03, 3e-4, root_half=1e-4) == pytest.approx(1.5), "the root's own half counts"
    assert zeta(0.0, 0.0) == 0.0
    assert zeta(-0.1, 0.0) == -math.inf


@pytest.mark.parametrize(
    ("failed", "needed"), [(None, 1.645), (0.2, 1.645), (1.7, 2.2), (2.4, 2.9), (2.6, 3.0), (9.0, 3.0)]
)
def test_the_bar_rises_after_a_failed_ask(failed: float | None, needed: float) -> None:
    """DESIGN §8: max(1.645, min(ζ_fail + 0.5, 3))."""
    assert bar(failed) == pytest.approx(needed)


def test_thin_evidence_says_so_kindly() -> None:
    """DESIGN §5: "no certificate asked for yet (evidence 1.2 of 1.645)"."""
    verdict = judge(question(1.2), FRESH, RULES)
    assert not verdict.ask
    assert verdict.reason == "no certificate asked for yet (evidence 1.2 of 1.645)"
    assert judge(question(1.645), FRESH, RULES).ask
    assert not judge(question(math.nan), FRESH, RULES).ask


def test_a_pass_forgets_the_failures_before_it() -> None:
    failed = after(FRESH, question(2.0), passed=False)
    assert (failed.looks, failed.passes, failed.failed_zeta) == (1, 0, 2.0)
    assert not judge(question(2.4, "exp_0004"), failed, RULES).ask
    assert judge(question(2.5, "exp_0004"), failed, RULES).ask
    passed = after(failed, question(2.5, "exp_0004"), passed=True)
    assert (passed.looks, passed.passes, passed.failed_zeta) == (2, 1, None)
    assert judge(question(1.7, "exp_0005", "exp_0004"), passed, RULES).ask


@pytest.mark.parametrize("mode", ["certify", "strict", "every-run"])
def test_the_same_weights_are_never_asked_twice(mode: str) -> None:
    """DESIGN §8: also not under another name, and never against themselves."""
    rules = replace(RULES, mode=mode)  # type: ignore[arg-type]
    history = after(FRESH, question(5.0), passed=False)
    renamed = replace(question(9.0), candidate="exp_0009")
    assert "asked about" in refusal(renamed, history, rules)
    assert not judge(renamed, history, rules).ask
    assert refusal(question(9.0, "exp_0003", "exp_0002"), history, rules) == ""
    twin = Question("exp_0005", "exp_0000", "w", "w", 9.0)
    assert "no-op" in refusal(twin, FRESH, rules)
    assert not judge(question(9.0, "exp_0000"), FRESH, rules).ask


def test_looks_run_out() -> None:
    spent = replace(FRESH, looks=20)
    assert refusal(question(9.0), spent, RULES) == "all 20 looks at this held-out set are spent"
    assert not judge(question(9.0), spent, RULES).ask
    assert judge(question(9.0), replace(FRESH, looks=19), RULES).ask


def test_every_run_asks_whatever_dev_says_and_none_never() -> None:
    """DESIGN §8: the rule of the older tools, wear and all."""
    worn = replace(FRESH, looks=500, failed_zeta=3.0)
    assert judge(question(-4.0), worn, replace(RULES, mode="every-run")).ask
    assert not judge(question(9.0), FRESH, replace(RULES, mode="none")).ask


@pytest.mark.parametrize(
    ("k", "passes", "level"), [(1, 0, 0.0025), (2, 1, 0.00125), (11, 1, 0.000125), (11, 2, 1.3889e-5)]
)
def test_strict_levels(k: int, passes: int, level: float) -> None:
    """DESIGN §8: α .1, Q 20."""
    assert strict_alpha(0.1, 20, k=k, passes=passes) == pytest.approx(level, abs=1e-8)
    rules = GateRules("strict", 0.1, 0.0, 20)
    assert alpha_of(replace(FRESH, looks=k - 1, passes=passes), rules) == strict_alpha(0.1, 20, k=k, passes=passes)
    assert alpha_of(replace(FRESH, looks=k - 1, passes=passes), RULES) == 0.05


def test_strict_levels_spend_no_more_than_alpha() -> None:
    """The union bound: every way to place s passes among the first k − 1 asks, over all k ≤ Q, sums to at most α."""
    spent = sum(math.comb(k - 1, s) * strict_alpha(0.1, 20, k=k, passes=s) for k in range(1, 21) for s in range(k))
    assert spent <= 0.1
    assert strict_alpha(0.1, 20, k=1, passes=1) == 0.0
