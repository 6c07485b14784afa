"""How a loop looks at its end."""

from __future__ import annotations

from evo.cli.blocks import Block, Text
from evo.domain.loop_views import LoopView


def loop(view: LoopView) -> list[Block]:
    made = ", ".join(counted(n, what) for n, what in ((view.experiments, "experiment"), (view.runs, "run")))
    blocks: list[Block] = [Text(f"loop {view.id}: {view.status}", "bold", f"{view.reason}; {made}")]
    score = "no score" if view.score is None else f"{view.score.mean:.3f} on dev"
    gain = "" if view.gain is None else f", gain {view.gain:+.3f}{spread(view)} over exp_0000"
    blocks.append(Text(f"  best       {view.best}  {score}{gain}"))
    words = "not told by the runs so far"
    if view.expected_of_draws is not None:
        words = f"{view.expected_of_draws:+.3f} expected of the best of as many independent draws"
    blocks += [Text(f"  at random  {words}")] if view.gain is not None and view.runs else []
    blocks.append(Text(f"  committed  {view.committed}"))
    return blocks


def spread(view: LoopView) -> str:
    """The 95 % interval of the gain."""
    if view.gain is None or view.gain_se is None:
        return ""
    return f" [{view.gain - 1.96 * view.gain_se:+.3f}, {view.gain + 1.96 * view.gain_se:+.3f}]"


def counted(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"
