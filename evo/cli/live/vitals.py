"""What a run says of itself, in a few words: for the line that moves, the live screen, `evo watch` and `evo show`.

Invariant: what is not known is left out; the words stand in order of weight, so that a short line loses the least.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from evo.cli.live.palette import Z_95, clock, number, short_rate, signed

if TYPE_CHECKING:
    from evo.domain.run_views import MidView, VitalsView

BLOCKS = "▁▂▃▄▅▆▇█"
MOST_BLOCKS = 12
LATE_S = 5.0
"""A heartbeat comes every second: one of this age is worth a word."""


def spark(values: Sequence[float]) -> str:
    """The last values as blocks between their lowest and highest; in the middle where all are the same."""
    shown = values[-MOST_BLOCKS:]
    low, high = min(shown, default=0.0), max(shown, default=0.0)
    if high == low:
        return BLOCKS[3] * len(shown)
    return "".join(BLOCKS[round((value - low) / (high - low) * (len(BLOCKS) - 1))] for value in shown)


def vital_words(view: VitalsView) -> list[str]:
    """`step 84/200`, `ends in 3:10`, `mid ▁▃▆ 0.620`, `loss 0.213`, …"""
    return [word for word in (*pace_words(view), mid_words(view.mids), *metric_words(view), beat_words(view)) if word]


def pace_words(view: VitalsView) -> list[str]:
    step = "" if view.step is None else f"step {view.step}" + ("" if view.total is None else f"/{view.total}")
    return [step, "" if view.ends_in_s is None else f"ends in {clock(view.ends_in_s)}"]


def metric_words(view: VitalsView) -> list[str]:
    spread = "" if view.reward_std is None else f" ±{number(view.reward_std)}"
    named = (
        ("reward", view.reward, number, spread),
        ("loss", view.loss, number, ""),
        ("lr", view.learning_rate, short_rate, ""),
        ("kl", view.kl, number, ""),
        ("entropy", view.entropy, number, ""),
        ("accuracy", view.mean_token_accuracy, number, ""),
        ("|g|", view.grad_norm, number, ""),
        ("length", view.completion_length, number, ""),
    )
    words = [f"{name} {write(value)}{more}" for name, value, write, more in named if value is not None]
    if view.tokens_per_second is not None:
        words.append(f"{short_count(view.tokens_per_second)} tok/s")
    if view.gpu_memory_gb is not None:
        words.append(f"{view.gpu_memory_gb:.1f} GB")
    return words


def mid_words(mids: Sequence[MidView]) -> str:
    """`mid ▁▃▆ 0.620 (+0.050 ±0.080)`: the last one, and its difference to the parent where that has one."""
    if not mids:
        return ""
    last = mids[-1]
    words = f"mid {spark([mid.mean for mid in mids])} {number(last.mean)}"
    if last.delta is None:
        return words
    reach = "" if last.delta_se is None else f" ±{number(Z_95 * last.delta_se)}"
    return f"{words} ({signed(last.delta)}{reach})"


def beat_words(view: VitalsView) -> str:
    """Only when it is late: that a run is alive is what its being here says."""
    age = view.heartbeat_age_s
    return "" if age is None or age < LATE_S else f"heard of {clock(age)} ago"


def short_count(value: float) -> str:
    """`850`, `1.2k`, `35k`."""
    if value < 1000:
        return f"{value:.0f}"
    return f"{value / 1000:.1f}k" if value < 10_000 else f"{value / 1000:.0f}k"
