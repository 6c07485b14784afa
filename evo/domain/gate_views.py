"""Views of `evo gate` and `evo verify`.

Invariant: gains are in the metric's own units, and nothing here was measured on a sealed item.
"""

from __future__ import annotations

from evo.domain.views import FindingView
from evo.lightdata import dataclass, field


@dataclass(frozen=True)
class NeedView:
    """Held-out items that certify `gain` with 80 % power; None where run noise alone hides it."""

    gain: float
    items: int | None


@dataclass(frozen=True)
class AskedGainView:
    """A gain that was asked about: the probability that it is certified, and what would certify it in 80 %."""

    gain: float
    power: float
    items: int | None


@dataclass(frozen=True)
class PowerView:
    """What the workspace's numbers can show, one run on each side."""

    n_dev: int
    n_heldout: int
    discordance: float
    """Mean squared difference of an item's results: for right or wrong, the share that the two sides differ on."""
    pairs: int
    """Experiments that `discordance` was measured on; 0: it is assumed."""
    sigma_run: float
    sigma_source: str
    alpha: float
    needed: float
    """The ζ at which the gate asks next."""
    asks_at: float
    """The dev gain at which it asks about a first child of the last committed node."""
    certifies: float
    """The true gain that is certified with 80 % power."""
    needs: list[NeedView] = field(default_factory=list)
    asked: AskedGainView | None = None


@dataclass(frozen=True)
class CalibrateView:
    """How often the test accepted where there was nothing to accept; `low`, `high`: a 95 % interval.

    `method`: exchange, simulate or repeat. `seed_comparisons`: stored seeds of one recipe against each other.
    """

    method: str
    alpha: float
    n: int
    pairs: int
    draws: int
    accepted: int
    rate: float
    low: float
    high: float
    seed_comparisons: int = 0
    seed_accepted: int = 0
    message: str = ""


@dataclass(frozen=True)
class CheckedView:
    """One thing that `verify` looked at: what it found, and whether that is in order."""

    name: str
    ok: bool
    found: str


@dataclass(frozen=True)
class VerifyView:
    """`ok` is false where anything was found that stops a commit. `seed` drew the items that were evaluated again."""

    id: str
    ok: bool
    checks: list[CheckedView]
    findings: list[FindingView]
    seed: int
    message: str = ""
