"""The whole screen as lines: head, two plots, the tree, and one line about what happened last.

Invariant: `frame` gives exactly `height` lines of `width` cells from the state alone;
the same state gives the same lines.
"""

from __future__ import annotations

from rich.cells import cell_len
from rich.text import Text

from evo.cli.live import palette
from evo.cli.live.branches import tree_lines
from evo.cli.live.plots import best_plot, curve_plot, fitted, interval
from evo.cli.live.state import LiveState, Work
from evo.cli.live.vitals import spark, vital_words

SIDE_BY_SIDE = 72
"""Below this width the training curve gives way to the best score."""
LEAST_TREE, LEAST_PLOT, MOST_PLOT = 12, 7, 22
"""Lines with their frames. The plots give way as the tree grows, down to a third of the screen."""
MOST_WORKERS = 4
ORDER = ("committed", "open", "failed", "contaminated", "discarded", "pending")


def frame(state: LiveState, width: int, height: int) -> list[Text]:
    """The screen. A very small one loses the plots first, then the end of the tree."""
    tree = max(LEAST_TREE, len(state.nodes) + 2)
    lines = head(state, width)
    plots = min(MOST_PLOT, max(height - len(lines) - 1 - tree, height // 3))
    if plots >= LEAST_PLOT:
        lines += panels(state, width, plots)
    rest = height - len(lines) - 1
    lines += boxed(["tree", f"{len(state.nodes)} experiments"], tree_lines(state, width - 4, max(1, rest - 2)), width)
    return [*lines[: height - 1], foot(state, width)]


def head(state: LiveState, width: int) -> list[Text]:
    """Name, experiments by standing, looks and time; below, a line for each that runs now."""
    looks = Text.assemble(("looks ", "dim"), f"{state.looks_used}/{state.looks_limit}", ("   time ", "dim"))
    looks.append(palette.clock(state.elapsed_s) + " ", "bold")
    room = max(0, width - looks.cell_len)
    left = Text.assemble((" evo ", "bold reverse green"), (f" {state.name}  ", "bold"), no_wrap=True)
    words = left + counts(state, is_short=False)
    if words.cell_len > room:
        words = left + counts(state, is_short=True)
    return [fitted(fitted(words, room) + looks, width), *(fitted(line, width) for line in at_work(state))]


def counts(state: LiveState, *, is_short: bool) -> Text:
    """`◆ 3 committed` for each standing that occurs, `◆3` when short; experiments at work are counted as running."""
    found: dict[str, int] = {}
    for node in state.nodes:
        key = "running" if node.id in state.stages and node.score is None else node.state
        found[key] = found.get(key, 0) + 1
    line = Text(no_wrap=True)
    for name in (*ORDER, "running"):
        if name in found:
            mark = palette.MARKS.get(name, palette.Mark(palette.spinner(state.elapsed_s), palette.RUNNING))
            gap, word = ("", "") if is_short else (" ", f" {name} ")
            line.append_text(Text.assemble((mark.sign + gap, mark.style), str(found[name]), (word + " ", "dim")))
    return line


def at_work(state: LiveState) -> list[Text]:
    """What each experiment at work says of itself; its hypothesis until it says something. At least one line."""
    lines = [worker(state, work) for work in state.work[:MOST_WORKERS]]
    if len(state.work) > MOST_WORKERS:
        lines.append(Text(f"   … {len(state.work) - MOST_WORKERS} more at work", style="dim"))
    return lines or [Text("")]


def worker(state: LiveState, work: Work) -> Text:
    node, sign = state.by_id.get(work.experiment), palette.spinner(state.elapsed_s)
    line = Text(" ", no_wrap=True)
    line.append(f"{sign} {work.experiment} {work.stage} {palette.clock(work.seconds)}", f"bold {palette.RUNNING}")
    if node is not None and node.parent is not None:
        line.append(f"  from {node.parent}", "dim")
    said = [] if work.vitals is None else vital_words(work.vitals)
    if said:
        line.append("  " + "  ".join(said))
    elif node is not None:
        line.append(f"  {node.hypothesis}")
    return line


def panels(state: LiveState, width: int, height: int) -> list[Text]:
    if width < SIDE_BY_SIDE:
        return boxed(best_title(state), best_plot(state, width - 4, height - 2), width)
    left = width // 2
    right = width - left
    ours = boxed(best_title(state), best_plot(state, left - 4, height - 2), left)
    theirs = boxed(curve_title(state), curve_plot(state.curve, right - 4, height - 2), right)
    return [a + b for a, b in zip(ours, theirs, strict=True)]


def best_title(state: LiveState) -> list[str]:
    """`best on dev 0.860`, `[0.821, 0.899]`, `exp_0003`."""
    best = next((node for node in reversed(state.best_so_far()) if node is not None), None)
    if best is None or best.score is None:
        return ["best on dev"]
    low, high = interval(best, state)
    return [f"best on dev {palette.number(best.score)}", f"[{palette.number(low)}, {palette.number(high)}]", best.id]


def curve_title(state: LiveState) -> list[str]:
    """`exp_0003`, `loss 0.213`, `step 84/100`, `mid ▁▃▆ 0.620`, `lr 1.2e-3`, `4 s`: as much of it as is known."""
    curve = state.curve
    if curve is None or not curve.steps:
        return ["training"]
    of = f"/{curve.total}" if curve.total else ""
    parts = [curve.experiment, f"{curve.name} {palette.number(curve.values[-1])}", f"step {curve.steps[-1]:.0f}{of}"]
    if curve.mids:
        means = [mean for _, mean in curve.mids]
        parts.append(f"mid {spark(means)} {palette.number(means[-1])}")
    if curve.learning_rate is not None:
        parts.append(f"lr {palette.short_rate(curve.learning_rate)}")
    if curve.seconds is not None:
        parts.append(f"{curve.seconds:.0f} s")
    return parts


def boxed(title: list[str], lines: list[Text], width: int) -> list[Text]:
    """A frame of round corners around `lines`, each `width` − 4 cells; as many words of the title as fit."""
    style = palette.FRAME
    name = Text(f" {title[0]} ", style="bold")
    for part in title[1:]:
        if name.cell_len + cell_len(part) + 2 <= width - 4:
            name.append(f" {part} ", "not bold")
    name = fitted(name, min(name.cell_len, width - 4))
    top = Text.assemble(("╭─", style), name, ("─" * (width - 3 - name.cell_len) + "╮", style))
    sides = [Text.assemble(("│ ", style), line, (" │", style)) for line in lines]
    return [top, *sides, Text("╰" + "─" * (width - 2) + "╯", style=style)]


def foot(state: LiveState, width: int) -> Text:
    return fitted(Text.assemble((" ▸ ", f"bold {palette.BEST}"), state.message) if state.message else Text(""), width)
