"""The last look at a number before it is written: bools, strings, NaN and infinities are no scores.

SQLite alone would take `True` for 1 and "0.5" for .5, and NaN for nothing at all.
"""

from __future__ import annotations

from collections.abc import Iterable

from evo.domain.item import ItemResult, checked_score
from evo.domain.score import Score
from evo.errors import Refused


def finite(value: object, *, of: str) -> float | None:
    """`value` as a float, None as None. Refused says of what it is no number."""
    if value is None:
        return None
    try:
        return checked_score(value, low=None, high=None)
    except ValueError as error:
        raise Refused(f"{of}: {error}; nothing was recorded", hint="fix what measured it") from None


def number(value: object, *, of: str) -> float:
    checked = finite(value, of=of)
    if checked is None:
        raise Refused(f"{of}: there is no number; nothing was recorded", hint="fix what measured it")
    return checked


def finite_score(score: Score, *, of: str) -> Score:
    mean, se = number(score.mean, of=f"{of}: score"), number(score.se, of=f"{of}: standard error of the score")
    return Score(mean, se, score.n)


def finite_results(results: Iterable[ItemResult], *, of: str) -> list[ItemResult]:
    """The results as they are, each item and sample once."""
    checked, seen = [], set()
    for result in results:
        number(result.score, of=f"{of}, item {result.item!r}: score")
        if (result.item, result.sample) in seen:
            raise Refused(
                f"{of}: item {result.item!r} has two results for sample {result.sample}; nothing was recorded"
            )
        seen.add((result.item, result.sample))
        checked.append(result)
    return checked
