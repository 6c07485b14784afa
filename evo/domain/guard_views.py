"""What is shown of a guard. Invariant: dev only."""

from __future__ import annotations

from evo.domain.views import IntervalView
from evo.lightdata import dataclass


@dataclass(frozen=True)
class GuardView:
    """`delta`: to exp_0000 in `show`, B − A in `compare`, in the guard's own units.

    `holds`: whether dev shows that nothing beyond the margin was lost against exp_0000; None where it cannot tell.
    """

    name: str
    mean: float | None = None
    se: float | None = None
    n: int = 0
    delta: IntervalView | None = None
    holds: bool | None = None
    required: bool = True
    margin: float = 0.03
    note: str = ""
    """Why there is less than that: not measured, or uninformative."""
