"""Certificates and looks: the one bit that comes back from held-out."""

from __future__ import annotations

from typing import Literal

from evo.lightdata import dataclass, field


@dataclass(frozen=True)
class Look:
    """One question put to the held-out items of `heldout_hash`; `passed` is None until it is answered."""

    k: int
    experiment: str
    against: str
    weights_hash: str
    against_weights_hash: str
    heldout_hash: str
    passed: bool | None = None
    evidence: float | None = None
    """ζ on dev when the question was asked (DESIGN §8)."""


@dataclass(frozen=True)
class Terms:
    """What an answer depends on besides the results, for who judges again. It holds no result."""

    alpha: float
    min_gain: float
    claim: Literal["weights", "recipe"]
    sigma_run: float
    runs: list[int]
    """Attempts of the candidate whose weights were asked about."""
    against_runs: list[int]
    guards: dict[str, tuple[str, float]] = field(default_factory=dict)
    """Name -> its hash and its margin."""


@dataclass(frozen=True)
class Certificate:
    """The outcome of one held-out test of `experiment` against the committed `against`."""

    experiment: str
    against: str
    passed: bool
    look: int
    mode: str
    isolation: str
    epoch: str
    created_at: str
    is_void: bool = False
    void_reason: str = ""
    terms: Terms | None = None
    """None: it was asked before they were kept."""
