"""Certificates and looks: the one bit that comes back from held-out."""

from __future__ import annotations

from evo.lightdata import dataclass


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
