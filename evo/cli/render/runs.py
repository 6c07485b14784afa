"""How a run looks before and while it trains: the trial before it, and what it says of itself on the way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evo.cli.blocks import Block, Cell, Table, Text
from evo.cli.live.palette import clock, number
from evo.cli.live.vitals import vital_words
from evo.cli.render import words

if TYPE_CHECKING:
    from evo.domain.run_views import EndedView, SmokeView, WatchedView, WatchView


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


def watch(view: WatchView) -> list[Block]:
    title = Text(f"{words.one_line(view.name)}  {view.experiments} experiments", style="bold")
    if not view.running:
        return [title, Text("nothing is running")]
    return [title, *(Text(watched_line(run), note=words.one_line(run.hypothesis)) for run in view.running)]


def watched_line(run: WatchedView) -> str:
    """`exp_0003 training 1:05  step 40/200  ends in 3:10  loss 0.512`."""
    return "  ".join([f"{run.id} {run.stage} {clock(run.seconds)}", *vital_words(run.vitals)])


def ended_line(view: EndedView) -> str:
    return f"{view.id} ended: {view.state}  {words.score(view.score)}"
