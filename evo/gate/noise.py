"""How much two runs of one recipe differ by chance: σ_run, in units (DESIGN §8)."""

from __future__ import annotations

from typing import Literal

SUPERVISED = 0.007
REINFORCED = 0.015
REINFORCED_TECHNIQUES = frozenset({"grpo", "rloo", "ppo", "adopted"})
"""How an adopted checkpoint was trained is not known: the wider margin is the safe one."""


def sigma_run(setting: float | Literal["auto"], technique: str) -> float:
    """The configured σ_run, else the one assumed for the technique's kind; views call that one "assumed"."""
    if setting != "auto":
        return float(setting)
    return REINFORCED if technique in REINFORCED_TECHNIQUES else SUPERVISED
