"""What a workspace is in, in the words in which claims say when they apply (`SITUATIONS` of the knowledge base).

Invariant: pure, from facts alone; a situation that the facts do not show is not there. `PRESSING` are those that ask
for an answer; the others only describe.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from evo.domain.experiment import ROOT
from evo.ideas.facts import Facts, Node, Task
from evo.ideas.knowledge import SITUATIONS
from evo.ideas.symptoms import PREFERRED, REINFORCED, Z, is_gain, is_lora, is_loss, named, symptoms

FEW, MANY = 1000, 10_000
"""Training rows."""
SMALL_DEV = 200
SMALL_MODEL = 3_000_000_000
STALLED = 3
"""Rounds without a gain."""
NEAR_PERFECT = 0.95
NOISY = 0.05
"""Training rows that contradict each other."""
MISSION = {
    "teacher": r"\b(?:teacher|distil\w*)\b",
    "code": r"\b(?:code|coding|python|javascript|sql|programs?|programming|unit tests?)\b",
    "rubric": r"\brubrics?\b",
    "tool-calls": r"\b(?:tool|function)[ -]call(?:s|ing)?\b",
}
"""A mission, or a scorer of somebody's own, that speaks of one has one; no file tells."""
NEWEST = 3
"""Scored experiments, beside the best, whose readings count as the present state."""

PRESSING = frozenset(
    {
        *("stuck-at-zero", "plateau", "regression", "forgetting", "generalisation-gap", "format-errors", "overfit"),
        *("truncated-outputs", "reward-flat", "reward-saturated", "entropy-collapse", "length-drift", "instability"),
        *("out-of-memory", "overlapping-best", "leak-suspected", "reward-hacked", "lora-slow", "below-chance"),
    }
)


def situations(facts: Facts) -> frozenset[str]:
    """All that hold now."""
    found = {*_task(facts.task), *_tree(facts), *_readings(facts)}
    return frozenset(found & SITUATIONS)


def scored(facts: Facts) -> list[Node]:
    """Experiments with a score beside the root, oldest first."""
    return [node for node in facts.nodes.values() if node.id != ROOT and node.score is not None]


def candidates(facts: Facts) -> list[Node]:
    """Scored experiments that may be built on, the best first."""
    standing = [node for node in scored(facts) if node.state in ("open", "committed") and not node.is_regressed]
    return sorted(standing, key=lambda node: (-_worth(node), node.id))


def _worth(node: Node) -> float:
    known = node.shrunken if node.shrunken is not None else node.gain
    return -math.inf if known is None else known


def failed(facts: Facts) -> list[Node]:
    """Experiments whose last attempt came to nothing, newest first."""
    return [node for node in reversed(facts.nodes.values()) if node.failure]


def overlap(facts: Facts) -> tuple[Node, Node] | None:
    """The two best experiments, where both are above the base and dev cannot tell them apart."""
    best = [node for node in candidates(facts) if node.gain is not None and node.gain > 0][:2]
    if len(best) < 2:
        return None
    one, other = best
    apart = abs((one.gain or 0.0) - (other.gain or 0.0))
    error = math.hypot(one.se, other.se)
    return (one, other) if error > 0 and apart < Z * error else None


def lucky(facts: Facts) -> Node | None:
    """The best, where it is no further above the base than the best of so many equal runs would be: s·√(2 ln k), and
    two standard errors of one (Boucheron, Lugosi, Massart 2013, theorem 2.5)."""
    best, count = next(iter(candidates(facts)), None), len(scored(facts))
    if best is None or best.gain is None or best.gain <= 0:
        return None
    return best if best.gain <= best.se * max(Z, math.sqrt(2 * math.log(count))) else None


def near_perfect(facts: Facts) -> Node | None:
    """The base model or the best, where what there is left to gain is less than dev can show."""
    if not _is_share(facts.task):
        return None
    ends = (facts.nodes[ROOT], *(node for node in facts.nodes.values() if node.id == facts.best))
    return next((node for node in ends if node.score is not None and node.score >= NEAR_PERFECT), None)


def is_falling(facts: Facts) -> bool:
    """So many experiments in a row have lost: that is no plateau."""
    newest = scored(facts)[-STALLED:]
    return len(newest) == STALLED and all(node.is_regressed or is_loss(node) for node in newest)


def newest_ended(facts: Facts) -> list[Node]:
    """Of all experiments that came to an end, with a score or without, the newest."""
    return [node for node in facts.nodes.values() if node.id != ROOT and (node.score is not None or node.failure)][
        -NEWEST:
    ]


def _is_share(task: Task) -> bool:
    return task.is_maximised and task.unit == 1.0


def _task(task: Task) -> Iterable[str]:
    yield from task.shapes
    if task.scorer == "json_cmd":
        yield "tool-calls"
    said = " ".join([task.scorer, task.objective, *task.constraints])
    yield from (name for name, words in MISSION.items() if re.search(words, said, flags=re.IGNORECASE))
    most = max(task.rows.values(), default=0)
    if most:
        yield from (["few-examples"] if most < FEW else []) + (["many-examples"] if most >= MANY else [])
    if task.disagreement >= NOISY:
        yield "noisy-labels"
    if 0 < task.dev_items < SMALL_DEV:
        yield "small-dev"
    if 0 < task.model_parameters < SMALL_MODEL:
        yield "small-model"
    if task.has_cuda:
        yield "cuda"
    if task.base_score is not None and _is_share(task):
        yield _base(task.base_score, task.chance or 0.0)


def _base(score: float, chance: float) -> str:
    if score <= max(0.01, chance):
        return "base-zero"
    return "base-low" if score < max(0.1, 1.5 * chance) else "base-some"


def _tree(facts: Facts) -> Iterable[str]:
    known = scored(facts)
    line = facts.path(facts.best)
    last = known[-1] if known else None
    holds = {
        "rl-done": any(node.technique in REINFORCED for node in known),
        "before-rl": not any(node.technique in REINFORCED for node in known),
        "sft-done": any(node.technique == "sft" for node in line),
        "preferences-done": any(node.technique in PREFERRED for node in line),
        "lora": any(is_lora(node) for node in line),
        "stuck-at-zero": is_stuck(facts),
        "plateau": facts.rounds_without_gain >= STALLED,
        "regression": last is not None and (last.is_regressed or is_loss(last)),
        "improving": last is not None and is_gain(last),
        "overlapping-best": overlap(facts) is not None,
        "siblings": has_siblings(facts),
        "multi-reward": any(recipe.rewards > 1 for recipe in facts.recipes.values()),
        "leak-suspected": any(node.state == "contaminated" for node in facts.nodes.values()),
        "out-of-memory": any(node.failure == "out_of_memory" for node in newest_ended(facts)),
    }
    return [name for name, is_so in holds.items() if is_so]


def is_stuck(facts: Facts) -> bool:
    """Two trained experiments and more, and nothing has got off the worst score there is."""
    known = scored(facts)
    if not _is_share(facts.task) or len(known) < 2:
        return False
    return all((node.score or 0.0) <= 0.005 for node in known)


def has_siblings(facts: Facts) -> bool:
    """Two good experiments from one parent by one recipe: weights that may be averaged."""
    seen = [(node.parent, node.recipe) for node in candidates(facts) if (node.gain or 0.0) > 0]
    return len(seen) > len(set(seen))


def _readings(facts: Facts) -> Iterable[str]:
    known = scored(facts)
    now = [*known[-NEWEST:], *(node for node in facts.nodes.values() if node.id == facts.best)]
    found = named(facts.findings).union(*(symptoms(facts, node) for node in now))
    yield from found - {"reward-saturated"} if "reward-hacked" in found else found
