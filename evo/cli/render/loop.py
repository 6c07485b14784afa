"""How a loop looks at its end."""

from __future__ import annotations

from evo.cli.blocks import Block, Text
from evo.domain.loop_views import LoopView


def loop(view: LoopView) -> list[Block]:
    made = f"{view.experiments} experiments, {view.runs} runs"
    blocks: list[Block] = [Text(f"loop {view.id}: {view.status}", "bold", f"{view.reason}; {made}")]
    score = "no score" if view.score is None else f"{view.score.mean:.3f} on dev"
    gain = "" if view.gain is None else f", gain {view.gain:+.3f} over exp_0000"
    blocks.append(Text(f"  best       {view.best}  {score}{gain}"))
    if view.expected_of_draws is not None:
        words = f"{view.expected_of_draws:+.3f}"
        blocks.append(Text(f"  at random  {words} expected of the best of as many independent draws"))
    blocks.append(Text(f"  committed  {view.committed}"))
    return blocks
