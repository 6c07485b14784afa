"""The two plots of the live screen: the best score over experiments, and the training curve.

Invariant: a plot is exactly `height` lines of exactly `width` cells, whatever it is given.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text

from evo.cli.live import palette
from evo.cli.live.canvas import Canvas, polyline
from evo.cli.live.state import Curve, LiveState, Node

LABEL = 6
"""Cells to the left of a plot for the numbers of its axis."""
FEWEST_SLOTS = 6
WHOLE_RANGE_FROM = 0.3
"""A score's axis is its whole range while the scores span more than this share of it, or are few."""
MANY = 8


@dataclass(frozen=True)
class Scale:
    """Values from `low` to `high` onto `dots` dots."""

    low: float
    high: float
    dots: int

    def at(self, value: float) -> int:
        share = (value - self.low) / (self.high - self.low)
        return round(min(1.0, max(0.0, share)) * (self.dots - 1))


def best_plot(state: LiveState, width: int, height: int) -> list[Text]:
    """The step line of the best score with its 95 % interval, every other score as a mark, a diamond at each commit."""
    canvas = Canvas(max(1, width - LABEL), max(1, height - 1))
    scale = Scale(*score_range(state), canvas.dots_high)
    slot = canvas.dots_wide / max(FEWEST_SLOTS, len(state.nodes))
    best = state.best_so_far()
    for i, holder in enumerate(best):
        if holder is not None:
            _band(canvas, scale, holder, state, _columns(i, slot))
    _steps(canvas, scale, best, slot)
    for i, node in enumerate(state.nodes):
        _mark(canvas, scale, node, state, round((i + 0.5) * slot))
    return [*_with_axis(canvas.lines(), scale.low, scale.high, width), _ids(state, slot, width)]


def score_range(state: LiveState) -> tuple[float, float]:
    """The axis: the metric's whole range, or what the scores span where that is a small part of it."""
    ends = [end for node in state.nodes if node.score is not None for end in interval(node, state)]
    low, high = min(ends, default=0.0), max(ends, default=1.0)
    if state.low is not None and state.high is not None:
        whole = state.high - state.low
        if len(ends) < 2 * MANY or high - low > WHOLE_RANGE_FROM * whole:
            return state.low, state.high
    return padded(low, high)


def interval(node: Node, state: LiveState) -> tuple[float, float]:
    """The 95 % interval of a score, within the metric's range."""
    score, reach = node.score or 0.0, palette.Z_95 * (node.se or 0.0)
    low = score - reach if state.low is None else max(state.low, score - reach)
    high = score + reach if state.high is None else min(state.high, score + reach)
    return low, high


def padded(low: float, high: float) -> tuple[float, float]:
    """A little room on both sides, and never an empty range."""
    room = 0.05 * (high - low) or 0.05 * abs(low) or 0.5
    return low - room, high + room


def _columns(i: int, slot: float) -> range:
    return range(round(i * slot), round((i + 1) * slot))


def _band(canvas: Canvas, scale: Scale, node: Node, state: LiveState, columns: range) -> None:
    low, high = interval(node, state)
    canvas.shade(columns, range(scale.at(low), scale.at(high) + 1), palette.BAND)


def _steps(canvas: Canvas, scale: Scale, best: Sequence[Node | None], slot: float) -> None:
    corners: list[tuple[int, int]] = []
    for i, holder in enumerate(best):
        if holder is not None and holder.score is not None:
            columns, y = _columns(i, slot), scale.at(holder.score)
            if corners:
                corners.append((columns.start, corners[-1][1]))
            corners += [(columns.start, y), (columns.stop - 1, y)]
    polyline(canvas, corners, palette.BEST)


def _mark(canvas: Canvas, scale: Scale, node: Node, state: LiveState, x: int) -> None:
    if node.score is not None:
        sign = standing_mark(node, state)
        canvas.write(x, scale.at(node.score), sign.sign, sign.style)
    elif node.state in ("failed", "contaminated"):
        sign = palette.MARKS[node.state]
        canvas.write(x, 0, sign.sign, sign.style)


def standing_mark(node: Node, state: LiveState) -> palette.Mark:
    """The mark of an experiment: its standing; ▼ where it is open and worse than its parent; ◇ for the baseline."""
    if node.is_root:
        return palette.BASELINE
    worse = node.delta is not None and (node.delta > 0 if state.is_min else node.delta < 0)
    return palette.WORSE if worse and node.state == "open" else palette.MARKS[node.state]


def _with_axis(lines: list[Text], low: float, high: float, width: int) -> list[Text]:
    """Numbers at the top, in the middle and at the bottom."""
    last = len(lines) - 1
    at = {0: high, last: low} | ({last // 2: high - (high - low) * (last // 2) / last} if last >= 4 else {})
    framed = []
    for row, line in enumerate(lines):
        label = f"{axis_number(at[row], high - low):>{LABEL - 1}} " if row in at else " " * LABEL
        framed.append(fitted(Text.assemble((label, "dim"), line), width))
    return framed


def axis_number(value: float, span: float) -> str:
    """As many decimals as the span needs, five cells at most."""
    if not math.isfinite(value):
        return ""
    decimals = min(3, max(0, 1 - math.floor(math.log10(span)))) if span > 0 else 2
    text = f"{value:.{decimals}f}"
    return text if len(text) < LABEL else f"{value:.0e}"


def _ids(state: LiveState, slot: float, width: int) -> Text:
    """Numbers of experiments under their places, as many as fit; those at work are lit."""
    cells = [" "] * max(1, width - LABEL)
    digits = len(str(max(0, len(state.nodes) - 1)))
    every = max(1, math.ceil((digits + 1) / (slot / 2)))
    line = Text(no_wrap=True)
    lit: list[tuple[int, int]] = []
    for i in range(0, len(state.nodes), every):
        text = state.nodes[i].id.removeprefix("exp_").lstrip("0") or "0"
        start = round((i + 0.5) * slot) // 2
        if start + len(text) <= len(cells):
            cells[start : start + len(text)] = text
            if state.nodes[i].id in state.stages:
                lit.append((LABEL + start, LABEL + start + len(text)))
    line.append(" " * LABEL + "".join(cells), "dim")
    for start, end in lit:
        line.stylize(f"not dim bold {palette.RUNNING}", start, end)
    return fitted(line, width)


def curve_plot(curve: Curve | None, width: int, height: int) -> list[Text]:
    """The metric over steps; the axis ends at the steps to do, where they are known."""
    if curve is None or not curve.steps:
        return waiting("no metrics yet", width, height)
    canvas = Canvas(max(1, width - LABEL), max(1, height - 1))
    low, high = padded(min(curve.values), max(curve.values))
    if low < 0 <= min(curve.values):
        low = 0.0
    end = float(max(curve.total or 0, curve.steps[-1], 1))
    across, up = Scale(0.0, end, canvas.dots_wide), Scale(low, high, canvas.dots_high)
    style = palette.LOSS if curve.is_live else palette.OVER
    polyline(canvas, [(across.at(s), up.at(v)) for s, v in zip(curve.steps, curve.values, strict=True)], style)
    for step, height_of in mid_marks(curve, canvas.dots_high):
        canvas.write(across.at(step), height_of, palette.MID.sign, palette.MID.style)
    if curve.is_live:
        canvas.write(across.at(curve.steps[-1]), up.at(curve.values[-1]), "●", f"bold {style}")
    foot = f"step 0{f'{end:.0f}':>{max(1, width - LABEL - 6)}}"
    return [*_with_axis(canvas.lines(), low, high, width), fitted(Text(" " * LABEL + foot, style="dim"), width)]


def mid_marks(curve: Curve, dots: int) -> list[tuple[int, int]]:
    """(step, dot) of each mid-evaluation, on an axis of their own: from the lowest of them to the highest."""
    means = [mean for _, mean in curve.mids]
    if not means:
        return []
    up = Scale(*padded(min(means), max(means)), dots)
    return [(step, up.at(mean)) for step, mean in curve.mids]


def waiting(words: str, width: int, height: int) -> list[Text]:
    """`words` in the middle of an empty panel."""
    lines = [fitted(Text(""), width) for _ in range(height)]
    lines[height // 2] = fitted(Text(words.center(width), style="dim"), width)
    return lines


def fitted(line: Text, width: int) -> Text:
    """Exactly `width` cells: cut with an ellipsis, or filled with blanks."""
    line = line.copy()
    line.truncate(width, overflow="ellipsis", pad=True)
    return line
