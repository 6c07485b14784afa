"""What a loop tries next: values of parameters, an idea, training data by slice, or a further seed.

Invariant: a pick depends on the store, the loop's options and its number alone, so the same one is planned again after
a kill; nothing is written here.
"""

from __future__ import annotations

import math
import random
from typing import NamedTuple

from evo.beliefs import Beliefs, form_beliefs, pick_parents
from evo.domain.experiment import ROOT
from evo.domain.loop import Loop, Pick, PickKind, Plan
from evo.evidence import contenders, worth_again
from evo.ideas.moves import SPREAD, Move, Observation, change_in_words, drawn_move, fitted, next_move
from evo.ops.loop.grounds import Ground
from evo.search.worth import expected_best, improvement, of_child
from evo.session import Session
from evo.store import experiments

IID = "iid"
_POINTS = 96
_UNKNOWN = 0.25
"""Share of the surrogate's own variance that counts as spread of the landscape: all of it tells too much (+.11 of
accuracy over 40 simulated worlds), none a little too little (-.02), this +.02."""


class Proposal(NamedTuple):
    """`gain`, `sd`: over exp_0000; None where nothing is predicted."""

    kind: PickKind
    plan: Plan
    gain: float | None = None
    sd: float = 0.0


def plan_next(session: Session, loop: Loop, picks: list[Pick], known: list[Ground]) -> Proposal | None:
    """None where there is nothing left to try."""
    rng = random.Random(f"{loop.options.seed}/{loop.id}/{len(picks) + 1}")
    mind = form_beliefs(session)
    if loop.options.policy == IID:
        return drawn(known, rng)
    child = best_move(session, loop, known, mind=mind, rng=rng)
    return further_seed(session, mind, child, picks) or child


def drawn(known: list[Ground], rng: random.Random) -> Proposal | None:
    """An independent draw below the root: recipe and parameters by chance."""
    for ground in rng.sample(known, len(known)):
        tried = [*(one.params for one in ground.seen), *ground.running]
        move = drawn_move(ground.space, tried, rng)
        if move is not None:
            return Proposal("draw", _plan(ground, move, ROOT, words="an independent draw"))
    return None


def best_move(
    session: Session, loop: Loop, known: list[Ground], *, mind: Beliefs, rng: random.Random
) -> Proposal | None:
    """Each recipe is spread out first; then the recipe and the values of highest expected improvement."""
    spread = {1: SPREAD, 2: 2}.get(len(known), 1)
    fresh = sorted((ground for ground in known if ground.tried < spread), key=lambda ground: ground.tried)
    for ground in fresh:
        found = moved(session, loop, ground, mind=mind, rng=rng, spread=spread)
        if found is not None:
            return found
    offers = [moved(session, loop, ground, mind=mind, rng=rng, spread=spread) for ground in known]
    best = mind.estimate(mind.best)[0]
    legal = [offer for offer in offers if offer is not None]
    return max(legal, key=lambda offer: improvement((offer.gain or 0.0) - best, offer.sd), default=None)


def moved(
    session: Session, loop: Loop, ground: Ground, *, mind: Beliefs, rng: random.Random, spread: int
) -> Proposal | None:
    """The next values for one recipe, and where they branch from.

    Where runs inherit weights, a result is read over its start or as it is, whichever explains the results better.
    """
    is_relative = ground.inherits and reads_better(ground, ground.above_start, ground.seen)
    seen = ground.above_start if is_relative else ground.seen
    move = next_move(ground.space, seen, ground.running, rng, spread=spread)
    if move is None:
        return None
    parent = parent_of(session, loop, mind, ground, is_spread=move.gain is None)
    if move.gain is None or move.low is None or move.high is None:
        return Proposal("move", _plan(ground, move, parent, words=move.why))
    start = mind.estimate(parent)[0] if is_relative and parent != ROOT else 0.0
    sd = (move.high - move.low) / 3.92
    words = stepped(session, mind, ground, move, parent=parent, start=start)
    return Proposal("move", _plan(ground, move, parent, words=words, start=start), move.gain + start, sd)


def stepped(session: Session, mind: Beliefs, ground: Ground, move: Move, *, parent: str, start: float) -> str:
    """`moves beta 0.1 -> 0.2 from exp_0004: +0.021 [-0.010, +0.052] expected`, beside the parent's own estimate."""
    at = experiments.get(session.db, parent)
    is_alike = at.recipe == ground.recipe
    change = change_in_words(ground.space, dict(at.params) if is_alike else {}, move.params)
    beside = start - mind.estimate(parent)[0]
    gain, low, high = ((value or 0.0) + beside for value in (move.gain, move.low, move.high))
    place = f"from {parent}" if is_alike else f"from its defaults, below {parent}"
    return f"{change} {place}: {gain:+.3f} [{low:+.3f}, {high:+.3f}] expected"


def reads_better(ground: Ground, ours: list[Observation], theirs: list[Observation]) -> bool:
    """Whether `ours` is the likelier reading of the same runs; on a tie, it is."""
    first, second = fitted(ground.space, ours), fitted(ground.space, theirs)
    return first is None or second is None or first.evidence >= second.evidence


def parent_of(session: Session, loop: Loop, mind: Beliefs, ground: Ground, *, is_spread: bool) -> str:
    """The policy's pick where one was named or weights are inherited; else the root while runs spread out, and then
    the best, which the move starts from."""
    if loop.options.policy or ground.inherits:
        return pick_parents(session, mind, k=1, policy=loop.options.policy or None)[0].id
    return ROOT if is_spread else mind.best


def further_seed(session: Session, mind: Beliefs, child: Proposal | None, picks: list[Pick]) -> Proposal | None:
    """A further seed of one of the two best, where that is worth more than the child; None mostly, and of one whose
    further seed has failed in this loop."""
    pair = contenders(session, mind)
    if pair is None or any(pick.kind == "seed" and pick.is_open for pick in picks):
        return None
    failed = {pick.plan.parent for pick in picks if pick.kind == "seed" and pick.outcome not in ("", "scored")}
    again = worth_again(pair, but=failed)
    if again is None or child is None or child.gain is None:
        return None
    best, other = pair
    rival = of_child(child.gain, child.sd, noise=other.facts.noise, best=best.facts.mean)
    if again.worth <= rival:
        return None
    why = (
        f"{best.id} and {other.id} overlap: a further seed of {again.id} is worth {again.worth:+.4f},"
        f" a new child {rival:+.4f}"
    )
    return Proposal("seed", Plan(f"a further seed of {again.id}", why, again.id, seed=again.seed))


def expected_of_draws(session: Session, known: list[Ground], n: int) -> float | None:
    """What the best of `n` independent draws would be expected to gain, by what the results say of the whole cube.

    Results count as they are, also those that started from a parent's weights: draws are rather flattered than wronged.
    """
    rng = random.Random(n)
    found: list[tuple[float, float]] = []
    for ground in known:
        model = fitted(ground.space, ground.seen)
        if model is not None:
            points = [tuple(rng.random() for _ in ground.space.axes) for _ in range(_POINTS)]
            found += [(one.mean, one.sd) for one in map(model.predict, points)]
    if not found or n < 1:
        return None
    middle = sum(mean for mean, _ in found) / len(found)
    spread = sum((mean - middle) ** 2 + _UNKNOWN * sd * sd for mean, sd in found) / len(found)
    return min(expected_best(middle, spread**0.5, n), most_gain(session))


def most_gain(session: Session) -> float:
    """Of a perfect score over exp_0000; infinite where the metric has no end."""
    metric, base = session.metric, experiments.get(session.db, ROOT).score_mean
    end = metric.high if metric.direction == "max" else metric.low
    return math.inf if base is None or end is None else metric.adjusted(end - base)


def _plan(ground: Ground, move: Move, parent: str, *, words: str, start: float = 0.0) -> Plan:
    axes = {axis.name for axis in ground.space.axes}
    changed = {
        name: value
        for name, value in move.params.items()
        if name in axes and value != ground.config.params[name].default
    }
    what = ", ".join(f"{name} {value}" for name, value in changed.items()) or "its defaults"
    return Plan(
        hypothesis=f"{ground.recipe} {words}" if move.gain is not None else f"{ground.recipe} with {what}: {words}",
        why=words,
        parent=parent,
        recipe=ground.recipe,
        settings=ground.fixed | changed,
        gain=None if move.gain is None else move.gain + start,
        low=None if move.low is None else move.low + start,
        high=None if move.high is None else move.high + start,
    )
