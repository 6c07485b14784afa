"""Findings: what a check of evo has seen about an experiment, and how grave it is.

Invariant: a finding holds no text of a sealed item and no number that was measured on one.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

from evo.lightdata import dataclass, field

Severity = Literal["block", "warn", "note"]
SEVERITIES: tuple[Severity, ...] = get_args(Severity)
"""`block` stops (contaminated, not commitable, refused), `warn` is shown until it is settled, `note` informs."""


@dataclass(frozen=True)
class Finding:
    """`source` is the check (leaks, identity, outputs, verify, plan, …), `kind` what it found, by its stable name.

    `evidence` is small and plain (file, line, item, method, numbers); `next` is the command that follows.
    """

    source: str
    kind: str
    severity: Severity
    message: str
    evidence: dict[str, Any] = field(default_factory=dict)
    next: str = ""
