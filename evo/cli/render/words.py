"""Numbers, standings and foreign text as every renderer writes them.

Invariant: text that a model, a log or a user wrote cannot steer the terminal: control characters are shown, not sent.
"""

from __future__ import annotations

import re
from datetime import datetime

from evo.cli.blocks import Cell
from evo.cli.blocks import printable as printable
from evo.cli.live.palette import MARKS, RUNNING, Z_95, number, signed
from evo.domain.views import IntervalView, ScoreView


def one_line(text: str | None, *, most: int = 100_000) -> str:
    """Words of `text` on one line of at most `most` characters."""
    line = printable(" ".join((text or "").split()))
    return line if len(line) <= most else line[: max(1, most - 1)] + "…"


def score(view: ScoreView | None) -> str:
    """Mean and 95 % half-width."""
    return "–" if view is None else mean(view.mean, view.se)


def mean(value: float | None, se: float | None) -> str:
    if value is None:
        return "–"
    return number(value) if se is None else f"{number(value)} ± {number(Z_95 * se)}"


def interval(view: IntervalView | None) -> str:
    return "–" if view is None else f"{signed(view.mean)} [{signed(view.low)}, {signed(view.high)}]"


def standing(state: str, *, running: bool = False) -> Cell:
    """Mark and word; the colour repeats what both say."""
    if running:
        return Cell("▶ running", RUNNING)
    sign, style = MARKS.get(state, ("?", ""))
    return Cell(f"{sign} {state}", style)


def duration(seconds: float | None) -> str:
    """`4.2 s`, `3 min 05 s`, `2 h 10 min`."""
    if seconds is None:
        return "–"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def moment(at: str) -> str:
    """A stored time, to the second, still UTC."""
    try:
        return datetime.fromisoformat(at).strftime("%Y-%m-%d %H:%M:%S")
    except ValueError:
        return printable(at)


def value(thing: object) -> str:
    """A parameter as one would type it: `5e-5`, not `5e-05`."""
    if isinstance(thing, float):
        return re.sub(r"e([+-])0+(?=\d)", r"e\1", str(thing))
    return "–" if thing is None else one_line(str(thing), most=200)
