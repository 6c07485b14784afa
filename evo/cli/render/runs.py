"""How a run looks before and while it trains: the trial before it, and what it says of itself on the way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evo.cli.blocks import Block, Cell, Table, Text
from evo.cli.live.palette import number
from evo.cli.render import words

if TYPE_CHECKING:
    from evo.domain.run_views import SmokeView


def smoke(view: SmokeView) -> list[Block]:
    style = "green" if view.passed else "red"
    facts = [f"{view.rows} rows, {words.duration(view.seconds)}"]
    if view.score is not None:
        base = "" if view.base is None else f", the base model {number(view.base)}"
        facts.append(f"{number(view.score.mean)} on {view.score.n} dev items{base}: evidence of nothing else")
    blocks: list[Block] = [
        Text(f"{view.id}  smoke run {words.one_line(view.message)}", style=f"bold {style}"),
        Text("  " + "; ".join(facts), style="dim"),
    ]
    if view.faults:
        rows: list[list[str | Cell]] = [
            [Cell(f.reason, "red"), words.one_line(f.message), words.one_line(f.hint)] for f in view.faults
        ]
        blocks += [Text(""), Table(("REASON", "FOUND", "WHAT TO DO"), rows)]
        blocks.append(Text(f"log  {view.log}", style="dim"))
    return blocks
