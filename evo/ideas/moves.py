"""The next values of a recipe's parameters: spread out first, then where the tree's own results point.

The first moves are the recipe's defaults, the middle of its ranges, and a Latin hypercube around it; from then on each
is the point of highest expected improvement under a `Surrogate`, with what still runs imagined at its predicted value.
Invariant: a move is legal for the recipe, differs from every observation and from what runs, and depends on the
generator alone beside its arguments.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, NamedTuple

from evo.ideas.space import Point, Space, latin
from evo.ideas.surrogate import Prediction, Surrogate, expected_gain

SPREAD = 4
"""Moves before the surrogate is asked."""
NEAREST = 60
"""Observations that the surrogate looks at, the best and the newest."""
_STEPS = (0.05, 0.1, 0.2, 0.3)
_CANDIDATES = 120
SAME = 0.02
"""Of a range."""
_FAR = 0.25
"""Distance on some axis at which the defaults are no middle of the ranges."""


class Observation(NamedTuple):
    """`gain` over what the run started from, with the variance of that number; None where it failed."""

    params: dict[str, Any]
    gain: float | None
    variance: float


class Move(NamedTuple):
    """`gain` with a 95 % interval is the surrogate's prediction over the start; None for a move that spreads out."""

    params: dict[str, Any]
    why: str
    gain: float | None = None
    low: float | None = None
    high: float | None = None


def next_move(
    space: Space,
    seen: Sequence[Observation],
    running: Sequence[dict[str, Any]],
    rng: random.Random,
    *,
    spread: int = SPREAD,
) -> Move | None:
    """None where the recipe has nothing to move, or every value that it has was tried. `spread`: moves before the
    results are followed."""
    if not space.axes:
        return None
    tried = [space.point(params) for params in [*(one.params for one in seen), *running]]
    at_start = len(set(tried))
    if at_start < spread and (first := _spread(space, at_start, tried, rng, of=spread)):
        return first
    scored = [one for one in seen if one.gain is not None]
    if not scored:
        return _fresh(space, latin(rng, count=8, axes=len(space.axes)), tried, "spreads out: nothing has a score yet")
    return _improving(space, seen, running, tried, rng)


def drawn_move(space: Space, tried: Sequence[dict[str, Any]], rng: random.Random) -> Move | None:
    """An independent draw, uniform on the cube: what a search is held against. None where nothing is left to draw."""
    known = [space.point(params) for params in tried]
    points = [tuple(rng.random() for _ in space.axes) for _ in range(8 if space.axes else 0)]
    return _fresh(space, points, known, "an independent draw")


def fitted(space: Space, seen: Sequence[Observation]) -> Surrogate | None:
    """What the results say of the whole cube; None before two of them have a score."""
    if not space.axes or sum(one.gain is not None for one in seen) < 2:
        return None
    return Surrogate(*_evidence(space, seen), ranged=space.ranged)


def _spread(space: Space, done: int, tried: list[Point], rng: random.Random, *, of: int) -> Move | None:
    home = space.point({})
    is_odd = any(abs(x - 0.5) > _FAR for x in home)
    firsts = [(home, "the recipe's defaults")] + ([(space.centre, "the middle of the ranges")] if is_odd else [])
    for point, why in firsts:
        if not _is_tried(space.point(space.params(point)), tried):
            return Move(space.params(point), why)
    spots = latin(rng, count=max(2, of - len(firsts)), axes=len(space.axes))
    return _fresh(space, spots, tried, f"spreads out, {done + 1} of {of} before the results are followed")


def _fresh(space: Space, points: Sequence[Point], tried: list[Point], why: str) -> Move | None:
    found = (space.params(point) for point in points)
    return next((Move(params, why) for params in found if not _is_tried(space.point(params), tried)), None)


def _improving(
    space: Space, seen: Sequence[Observation], running: Sequence[dict[str, Any]], tried: list[Point], rng: random.Random
) -> Move | None:
    points, values, noises = _evidence(space, seen)
    at_work = [space.point(params) for params in running]
    model = Surrogate(points, values, noises, ranged=space.ranged).believing(at_work)
    points = [*points, *at_work]
    expected = [model.predict(point).mean for point in points]
    best = max(expected)
    home = points[expected.index(best)]
    found: tuple[float, Point, Prediction] | None = None
    for point in _candidates(home, rng):
        exact = space.point(space.params(point))
        prediction = model.predict(exact)
        worth = expected_gain(prediction, best)
        if (found is None or worth > found[0]) and not _is_tried(exact, tried):
            found = (worth, exact, prediction)
    if found is None:
        return None
    _, point, (mean, sd) = found
    return Move(space.params(point), "follows the results", mean, mean - 1.96 * sd, mean + 1.96 * sd)


def _evidence(space: Space, seen: Sequence[Observation]) -> tuple[list[Point], list[float], list[float]]:
    """What the surrogate sees. A failed run counts as a little worse than the worst that was scored."""
    gains = [one.gain for one in seen if one.gain is not None]
    spread = max(max(gains) - min(gains), 0.01)
    floor = min(gains) - 0.25 * spread
    usual = sum(one.variance for one in seen if one.gain is not None) / len(gains)
    newest = seen[-NEAREST // 2 :]
    ranked = sorted(seen[: -NEAREST // 2], key=lambda one: floor if one.gain is None else one.gain)
    chosen = [*ranked[-NEAREST // 2 :], *newest] if len(seen) > NEAREST else list(seen)
    points = [space.point(one.params) for one in chosen]
    values = [floor if one.gain is None else one.gain for one in chosen]
    return points, values, [max(usual if one.gain is None else one.variance, 1e-8) for one in chosen]


def _candidates(home: Point, rng: random.Random) -> list[Point]:
    """Anywhere, and steps of several sizes from `home`, along some of the axes or all of them."""
    anywhere = [tuple(rng.random() for _ in home) for _ in range(_CANDIDATES)]
    steps = []
    for size in _STEPS:
        for _ in range(_CANDIDATES):
            share = rng.choice((1 / 3, 0.6, 1.0))
            steps.append(tuple(_step(x, size, rng) if rng.random() < share else x for x in home))
    return [*anywhere, *steps]


def _step(x: float, size: float, rng: random.Random) -> float:
    return min(max(x + rng.gauss(0.0, size), 0.0), 1.0)


def _is_tried(point: Point, tried: Sequence[Point]) -> bool:
    """Two settings are one where no parameter differs by more than a fiftieth of its range."""
    return any(all(abs(x - y) <= SAME for x, y in zip(point, other, strict=True)) for other in tried)


def change_in_words(space: Space, before: dict[str, Any], after: dict[str, Any]) -> str:
    """`moves learning_rate 0.0001 -> 0.0003, beta 0.1 -> 0.2`: the three that move furthest."""
    places = zip(space.axes, space.point(before), space.point(after), strict=True)
    apart = sorted((-abs(a - b), axis.name) for axis, a, b in places if abs(a - b) > SAME)
    known = space.defaults | before, space.defaults | after
    said = [f"{name} {known[0][name]} -> {known[1][name]}" for _, name in apart[:3]]
    return f"moves {', '.join(said)}" if said else "moves nothing far"
