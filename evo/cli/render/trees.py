"""How the tree looks: status, branches, lines of descent, the frontier, what comes next, what was given up.

Invariant: a mark and a word carry every standing; a row is one line of the terminal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from evo.cli.blocks import Block, Cell, Table, Text, width
from evo.cli.live.palette import BEST, number, signed
from evo.cli.render import words

if TYPE_CHECKING:
    from evo.domain.read_views import DiscardsView, NextView, PathView
    from evo.domain.views import FrontierView, LoopStandView, RunningView, StatusView, TreeNodeView, TreeView

DEEPEST_GUIDE = 12
"""Generations that get an indent of their own; further down the line stays where it is."""
LEAST_HYPOTHESIS = 16


def status(view: StatusView) -> list[Block]:
    looks = f"looks {view.looks.used} of {view.looks.limit}"
    counts = f"{_count(view.experiments, 'experiment')}, {_count(view.attempts, 'attempt')}, {looks}"
    why_best = "highest shrunken estimate" if view.best_by == "posterior" else f"highest {view.best_by}"
    chosen = "" if view.corrected is None else f"; {number(view.corrected)} corrected for having been chosen"
    why = why_best + chosen if view.best else "no score yet"
    rows: list[list[str | Cell]] = [
        [Cell("best", BEST), view.best or "–", words.score(view.best_score), why],
        ["committed", view.committed, words.score(view.committed_score), "the last to be certified"],
        ["base", "exp_0000", words.score(view.base_score), "the untouched model"],
    ]
    if view.committed == "exp_0000":
        rows.pop(1)
    blocks: list[Block] = [
        Text(words.one_line(view.name), style="bold", note=counts),
        Text("  ".join(words.standing(state).text.replace(" ", f" {n} ", 1) for state, n in view.states.items() if n)),
        Text(""),
        Table(("", "EXPERIMENT", "DEV SCORE", ""), rows),
    ]
    if view.running or view.stale:
        blocks += [Text(""), _running(view)]
    if view.loop is not None:
        blocks += [Text(""), _loop(view.loop)]
    if view.trained:
        blocks += [Text(""), Text(f"evaluation owed: {', '.join(view.trained[:20])}", style="yellow")]
    if view.epoch is not None and view.epoch.number > 1:
        changed = words.one_line("; ".join(view.epoch.changes), most=160)
        blocks += [Text(f"epoch {view.epoch.number} since {view.epoch.at[:16]}: {changed}", style="yellow")]
    for name in view.interrupted[:20]:
        blocks += [Text(f"interrupted: evo run {name} goes on at its last checkpoint", style="yellow")]
    for found in view.diagnoses:
        text = words.one_line(f"{found.kind}: {found.message}", most=160)
        blocks += [Text(text, style="red" if found.severity == "block" else "yellow", note="evo diagnose")]
    return blocks


def _loop(stand: LoopStandView) -> Text:
    of = "" if stand.wanted is None else f" of {stand.wanted}"
    style = "yellow" if stand.status in ("quiet", "error", "stopped") else ""
    return Text(
        f"loop {stand.id} {stand.status}, {stand.made}{of} experiments", style, words.one_line(stand.reason, most=160)
    )


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}" + ("" if n == 1 else "s")


def _running(view: StatusView) -> Table:
    def row(entry: RunningView, is_stale: bool) -> list[str | Cell]:
        age = entry.heartbeat_age_s
        heard = "never heard of" if age is None else f"heard {words.duration(age)} ago"
        mark = Cell("! stale", "red") if is_stale else words.standing("", running=True)
        return [mark, entry.id, str(entry.attempt), words.one_line(entry.stage), words.duration(entry.seconds), heard]

    rows = [row(entry, False) for entry in view.running] + [row(entry, True) for entry in view.stale]
    return Table(("", "EXPERIMENT", "ATTEMPT", "STAGE", "FOR", ""), rows, right=frozenset({"ATTEMPT"}))


def tree(view: TreeView) -> list[Block]:
    names = [f"{guide}{node.id}" for guide, node in zip(guides(view.nodes), view.nodes, strict=True)]
    shown: dict[str | None, int] = {}
    for node in view.nodes[1:]:
        shown[node.parent] = shown.get(node.parent, 0) + 1
    hidden = [node.children - shown.get(node.id, 0) for node in view.nodes]
    names = [f"{name} (+{more})" if more else name for name, more in zip(names, hidden, strict=True)]
    cells = [words.standing(node.state, running=node.running) for node in view.nodes]
    scores = [words.mean(node.score, node.se) + _asides(node) for node in view.nodes]
    columns: dict[str, Sequence[str | Cell]] = {"EXPERIMENT": names, "STANDING": cells, "DEV SCORE": scores}
    recipes = {"RECIPE": [words.one_line(node.recipe, most=16) for node in view.nodes]}
    if width() - _taken(columns | recipes) >= LEAST_HYPOTHESIS:  # the hypothesis says more
        columns |= recipes
    room = width() - _taken(columns)
    if room >= LEAST_HYPOTHESIS:
        columns["HYPOTHESIS"] = [words.one_line(node.hypothesis, most=room) for node in view.nodes]
    blocks: list[Block] = [Table(tuple(columns), [list(row) for row in zip(*columns.values(), strict=True)])]
    for node in view.nodes:
        if node.corrected is not None:
            blocks.append(Text(f"{node.id}: {number(node.corrected)} corrected for having been chosen", style="dim"))
    if any(node.old_epoch for node in view.nodes):
        blocks.append(Text("old: scored under an earlier evaluation, not comparable (evo rescore)", style="dim"))
    if any(node.dev_exposed for node in view.nodes):
        blocks.append(Text("dev-exposed: trained on data made from dev failures, or below such a one", style="dim"))
    if view.truncated:
        blocks.append(_shown(len(view.nodes), view.total, "--limit, --depth, --from"))
    return blocks


def _asides(node: TreeNodeView) -> str:
    return (" old" if node.old_epoch else "") + (" dev-exposed" if node.dev_exposed else "")


def _shown(shown: int, total: int, options: str) -> Text:
    return Text(f"{shown} of {total:,} shown", style="dim", note=options)


def guides(nodes: Sequence[TreeNodeView]) -> list[str]:
    """The guide lines before each node of a depth-first list. Linear, whatever the depth."""
    found: list[str] = []
    base = nodes[0].depth if nodes else 0
    open_levels: list[int] = []
    is_open: set[int] = set()
    for node in reversed(nodes):
        depth = node.depth - base
        while open_levels and open_levels[-1] > depth:
            is_open.discard(open_levels.pop())
        joint = "├─" if depth in is_open else "╰─"
        lead = "".join("│ " if level in is_open else "  " for level in range(1, min(depth, DEEPEST_GUIDE)))
        found.append(lead + joint if depth else "")
        if depth not in is_open:
            open_levels.append(depth)
            is_open.add(depth)
    return found[::-1]


def _taken(columns: Mapping[str, Sequence[str | Cell]]) -> int:
    """Cells that these columns need, with the gaps behind them."""
    texts = {
        title: [cell if isinstance(cell, str) else cell.text for cell in cells] for title, cells in columns.items()
    }
    return sum(max(map(len, [title, *cells])) + 2 for title, cells in texts.items())


def path(view: PathView) -> list[Block]:
    rows: list[list[str | Cell]] = [
        [
            node.id,
            words.standing(node.state),
            words.score(node.score) + (" old" if node.old_epoch else ""),
            "–" if node.gain is None else signed(node.gain),
            words.one_line(node.recipe, most=16),
            words.one_line(node.hypothesis, most=max(8, width() - 70)),
        ]
        for node in view.nodes
    ]
    blocks: list[Block] = [Table(("EXPERIMENT", "STANDING", "DEV SCORE", "GAIN", "RECIPE", "HYPOTHESIS"), rows)]
    if view.truncated:
        blocks.append(Text(f"the nearest {len(view.nodes)} shown", style="dim", note="--limit"))
    return blocks


def frontier(view: FrontierView) -> list[Block]:
    rows = [[str(n), p.id, signed(p.value), signed(p.mean), f"{p.sd:.3f}"] for n, p in enumerate(view.picks, 1)]
    return [
        Text(words.one_line(view.policy), style="bold", note=f"seed {view.seed}"),
        Table(("", "EXPERIMENT", "VALUE", "SHRUNKEN ESTIMATE", "SD"), rows, right=frozenset({"", "VALUE", "SD"})),
    ]


def next_steps(view: NextView) -> list[Block]:
    now = view.stage
    blocks: list[Block] = [Text(f"stage {now.number}: {now.name}", note=words.one_line(now.why, most=300))]
    for n, step in enumerate(view.steps, 1):
        blocks.append(Text(f"{n}. {words.one_line(step.cmd)}", style="bold"))
        blocks.append(Text(f"   {words.one_line(step.why)}", style="dim"))
    return blocks if view.steps else [*blocks, Text("nothing to do")]


def discards(view: DiscardsView) -> list[Block]:
    rows = [
        [
            gone.id,
            gone.class_ or "–",
            words.mean(gone.score, None),
            words.one_line(gone.reason, most=60),
            words.one_line(gone.hypothesis, most=60),
        ]
        for gone in view.discards
    ]
    if not rows:
        return [Text("nothing was given up")]
    blocks: list[Block] = [Table(("EXPERIMENT", "CLASS", "DEV SCORE", "REASON", "HYPOTHESIS"), rows)]
    if view.truncated:
        blocks.append(_shown(len(rows), view.total, "--limit"))
    return blocks
