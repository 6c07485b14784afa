"""The growing tree: one line for each experiment, from its guide lines to its hypothesis.

Invariant: a line is exactly `width` cells; where there are more experiments than lines, those at work, the line of
descent of the best and the newest are kept, and the last line says how many are not shown.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rich.text import Text

from evo.cli.live import palette
from evo.cli.live.plots import fitted, standing_mark
from evo.cli.live.state import LiveState, Node

DEEPEST_GUIDE = 12
"""Generations that get an indent of their own; further down the line stays where it is."""
WIDE = 92
"""From this width on there is room for intervals and for the difference to the parent."""
ID = 11
"""Mark, blank and id."""
STANDING = 12


@dataclass(frozen=True)
class Row:
    """A node with the guide lines that lead to it."""

    node: Node
    guide: str


def tree_lines(state: LiveState, width: int, height: int) -> list[Text]:
    rows = list(walk(state))
    shown = rows if len(rows) <= height else chosen(state, rows, height - 1)
    reach = max((len(row.guide) for row in shown), default=0)
    lines = [line(state, row, width, reach=reach) for row in shown]
    if len(shown) < len(rows):
        lines.append(fitted(Text(f"  … {len(rows) - len(shown)} more", style="dim"), width))
    return lines + [fitted(Text(""), width) for _ in range(height - len(lines))]


def walk(state: LiveState) -> Iterator[Row]:
    """Depth first, children by number, without recursion: a chain of a thousand is an ordinary tree."""
    children: dict[str | None, list[Node]] = {}
    for node in state.nodes:
        children.setdefault(node.parent, []).append(node)
    stack = [(node, "", "", 0) for node in reversed(children.get(None, []))]
    while stack:
        node, lead, joint, depth = stack.pop()
        yield Row(node, lead + joint)
        below = lead + {"": "", "├─": "│ ", "╰─": "  "}[joint] if depth <= DEEPEST_GUIDE else lead
        last = len(children.get(node.id, [])) - 1
        for i, child in reversed(list(enumerate(children.get(node.id, [])))):
            stack.append((child, below, "╰─" if i == last else "├─", depth + 1))


def chosen(state: LiveState, rows: list[Row], room: int) -> list[Row]:
    """The rows to show when not all fit, in the order of the tree."""
    best = next((node for node in reversed(state.best_so_far()) if node is not None), None)
    wanted: dict[str, None] = dict.fromkeys(state.stages)
    while best is not None:
        wanted[best.id] = None
        best = state.by_id.get(best.parent or "")
    wanted.update(dict.fromkeys(node.id for node in reversed(state.nodes)))
    keep = set(list(wanted)[: max(0, room)])
    return [row for row in rows if row.node.id in keep]


def line(state: LiveState, row: Row, width: int, *, reach: int) -> Text:
    """Guide, mark, id, score, difference to the parent, standing, technique, hypothesis."""
    node = row.node
    mark = standing_mark(node, state)
    work = state.stages.get(node.id)
    sign = (palette.spinner(state.elapsed_s), f"bold {palette.RUNNING}") if work else (mark.sign, mark.style)
    name = Text.assemble((row.guide, palette.FRAME), sign, (f" {node.id}", "bold" if work else ""))
    words, style = standing(state, node)
    is_wide = width >= WIDE
    delta = "" if node.delta is None or node.is_root else palette.signed(node.delta)
    columns = [
        fitted(name, reach + ID),
        fitted(Text(score_words(node, is_wide=is_wide), style=mark.style), 12 if is_wide else 6),
        *([fitted(Text(delta, style="dim"), 7)] if is_wide else []),
        fitted(Text(words, style=style), STANDING),
        fitted(Text(node.technique, style="magenta"), 13),
        Text.assemble(node.hypothesis, (f" · {node.failure}" if node.failure else "", "red")),
    ]
    return fitted(Text(" ").join(columns), width)


def score_words(node: Node, *, is_wide: bool) -> str:
    """`0.860 ±.039`, without the half-width of the interval where room is short; a dash where there is no score."""
    if node.score is None:
        return "–"
    half = palette.number(palette.Z_95 * (node.se or 0.0)).removeprefix("0")
    return palette.number(node.score) + (f" ±{half}" if is_wide else "")


def standing(state: LiveState, node: Node) -> tuple[str, str]:
    """The word for how an experiment stands, and its style: what it is doing, while it is doing something."""
    work = state.stages.get(node.id)
    if work is not None:
        timed = f"{work.stage} {int(work.seconds)}s"
        return timed if len(timed) <= STANDING else work.stage, f"bold {palette.RUNNING}"
    mark = standing_mark(node, state)
    if mark is palette.WORSE:
        return "open, worse", mark.style
    word = "baseline" if node.is_root and not node.is_certified else node.state
    return word, mark.style
