"""The tree as one drawing: depth to the right, siblings below each other, each node with its score.

Promise: valid SVG of bounded size whatever the tree; text of people is escaped.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from xml.sax.saxutils import escape

MOST_NODES = 400
COLUMN, ROW, MARGIN = 190, 34, 24
COLOURS = {
    "committed": "#2e7d32", "open": "#1565c0", "pending": "#9e9e9e", "failed": "#c62828",
    "contaminated": "#6a1b9a", "discarded": "#bdbdbd",
}  # fmt: skip


class Node(NamedTuple):
    id: str
    parent: str | None
    state: str
    score: float | None
    hypothesis: str


class _Place(NamedTuple):
    column: int
    row: float


def draw(nodes: Sequence[Node]) -> str:
    """Of a larger tree the first MOST_NODES experiments. Parents come before their children."""
    shown = nodes[:MOST_NODES]
    places = _places(shown)
    width = 2 * MARGIN + COLUMN * (1 + max((place.column for place in places.values()), default=0))
    height = 2 * MARGIN + ROW * (1 + int(max((place.row for place in places.values()), default=0)))
    lines = [_edge(places[node.parent], places[node.id]) for node in shown if node.parent in places]
    marks = [_mark(node, places[node.id]) for node in shown]
    rest = f"{len(nodes) - len(shown)} more experiments are not drawn" if len(nodes) > len(shown) else ""
    note = f'<text x="{MARGIN}" y="{height - 6}">{rest}</text>' if rest else ""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
        f' font-family="sans-serif" font-size="12">{"".join(lines)}{"".join(marks)}{note}</svg>'
    )


def _places(nodes: Sequence[Node]) -> dict[str, _Place]:
    """A column for each depth; leaves take rows in order, parents stand in the middle of their children."""
    children: dict[str | None, list[str]] = {}
    columns: dict[str, int] = {}
    for node in nodes:
        columns[node.id] = columns[node.parent] + 1 if node.parent in columns else 0
        children.setdefault(node.parent if node.parent in columns else None, []).append(node.id)
    rows: dict[str, float] = {}
    free = 0
    stack = [(root, False) for root in reversed(children.get(None, []))]
    while stack:  # a deep tree must not meet Python's limit on recursion
        name, is_left = stack.pop()
        below = children.get(name, [])
        if not below:
            rows[name], free = float(free), free + 1
        elif is_left:
            rows[name] = (rows[below[0]] + rows[below[-1]]) / 2
        else:
            stack.append((name, True))
            stack += [(child, False) for child in reversed(below)]
    return {name: _Place(columns[name], rows[name]) for name in columns}


def _at(place: _Place) -> tuple[float, float]:
    return MARGIN + place.column * COLUMN, MARGIN + place.row * ROW


def _edge(parent: _Place, child: _Place) -> str:
    (x0, y0), (x1, y1) = _at(parent), _at(child)
    middle = (x0 + x1) / 2
    return f'<path d="M{x0} {y0}C{middle} {y0} {middle} {y1} {x1} {y1}" fill="none" stroke="#bbb"/>'


def _mark(node: Node, place: _Place) -> str:
    x, y = _at(place)
    words = node.id if node.score is None else f"{node.id}  {node.score:.3f}"
    colour = COLOURS.get(node.state, "#9e9e9e")
    return (
        f"<g><title>{escape(f'{node.id} ({node.state}): {node.hypothesis[:200]}')}</title>"
        f'<circle cx="{x}" cy="{y}" r="6" fill="{colour}"/><text x="{x + 10}" y="{y + 4}">{escape(words)}</text></g>'
    )
