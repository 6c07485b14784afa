"""When the held-out question is asked, and at which level it is judged.

Every answer wears the held-out set, so the gate asks about one node only, the best by posterior mean, and only when
dev makes it likely to pass; `every-run`, the rule of the older tools, asks about everything that scored.
Invariant: never the same weights twice against the same reference, and never beyond the budget of looks, which
every-run does not know.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from evo.gate.decision import GateRules
from evo.lightdata import dataclass

EVIDENCE = 1.645
"""The ζ at which a first question is asked: one-sided 95 %."""
STEP_AFTER_FAILURE = 0.5
HIGHEST_BAR = 3.0


@dataclass(frozen=True)
class Question:
    """Candidate and reference (the last committed node), each with the hash of its weights."""

    candidate: str
    reference: str
    candidate_weights: str
    reference_weights: str
    zeta: float


@dataclass(frozen=True)
class History:
    """Looks at this held-out set so far. `failed_zeta` is that of the last failed ask since the last commit;
    `asked` holds pairs (candidate weights, reference weights)."""

    looks: int
    passes: int
    failed_zeta: float | None
    asked: frozenset[tuple[str, str]]


class Verdict(NamedTuple):
    """Whether to ask now; `needed` is the bar that `evidence` has to reach."""

    ask: bool
    evidence: float
    needed: float
    reason: str


def zeta(gain: float, variance: float, *, root_half: float = 0.0) -> float:
    """(m_t − m_c)/sd(m_t − m_c) from the mean and variance of the posterior difference.

    `root_half`: where c is the root, Var d/(2n) of its own dev results, which the posterior holds to be exact.
    """
    deviation = math.sqrt(variance + root_half)
    if deviation > 0:
        return gain / deviation
    return math.copysign(math.inf, gain) if gain else 0.0


def bar(failed_zeta: float | None) -> float:
    """max(1.645, min(ζ_fail + 0.5, 3))."""
    if failed_zeta is None:
        return EVIDENCE
    return max(EVIDENCE, min(failed_zeta + STEP_AFTER_FAILURE, HIGHEST_BAR))


def refusal(question: Question, history: History, rules: GateRules) -> str:
    """Why this question must not be asked, however strong the evidence; empty when it may be."""
    if rules.mode == "none":
        return "the gate is off (gate.mode: none)"
    if question.candidate == question.reference:
        return f"{question.candidate} is the last committed node"
    if question.candidate_weights == question.reference_weights:
        return f"{question.candidate} has the weights of {question.reference}: a no-op"
    if (question.candidate_weights, question.reference_weights) in history.asked:
        return f"these weights were asked about against {question.reference} before"
    if rules.mode != "every-run" and history.looks >= rules.looks:
        return f"all {rules.looks} looks at this held-out set are spent"
    return ""


def judge(question: Question, history: History, rules: GateRules) -> Verdict:
    """Whether dev says enough to ask about this candidate: in certify and strict the best node, in every-run any."""
    needed = 0.0 if rules.mode == "every-run" else bar(history.failed_zeta)
    forbidden = refusal(question, history, rules)
    if forbidden:
        return Verdict(False, question.zeta, needed, forbidden)
    if rules.mode != "every-run" and not question.zeta >= needed:
        reason = f"no certificate asked for yet (evidence {question.zeta:.1f} of {needed:.3f})"
        return Verdict(False, question.zeta, needed, reason)
    return Verdict(True, question.zeta, needed, "the evidence asks for it")


def alpha_of(history: History, rules: GateRules) -> float:
    """The level of the next ask: α, or in strict mode α_{k,s} with k asks (this one included) after s passes."""
    if rules.mode != "strict":
        return rules.alpha
    return strict_alpha(rules.alpha, rules.looks, k=history.looks + 1, passes=history.passes)


def strict_alpha(alpha: float, looks: int, *, k: int, passes: int) -> float:
    """α·2^{−(s+1)}/(Q·C(k−1, s)); summed over all k ≤ Q and all histories of passes it stays below α."""
    ways = math.comb(k - 1, passes)
    return alpha * 2.0 ** -(passes + 1) / (looks * ways) if ways else 0.0


def after(history: History, question: Question, *, passed: bool) -> History:
    """The history with one more look. A pass forgets the failures before it."""
    return History(
        looks=history.looks + 1,
        passes=history.passes + passed,
        failed_zeta=None if passed else question.zeta,
        asked=history.asked | {(question.candidate_weights, question.reference_weights)},
    )
