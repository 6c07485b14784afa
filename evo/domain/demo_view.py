"""What `evo demo` ends with.

Invariant: every field comes from the demo's workspace and can be asked for there again.
"""

from __future__ import annotations

from evo.domain.loop_views import LoopView
from evo.domain.views import CertificateView, TreeNodeView, VaultView
from evo.lightdata import dataclass


@dataclass(frozen=True)
class DemoView:
    """`experiments` are depth first, the baseline first; `committed` is the last of them with a certificate."""

    workspace: str
    experiments: list[TreeNodeView]
    picked_by: dict[str, str]
    """Experiment of the script -> the policy that chose its parent."""
    failures: dict[str, str]
    """Experiment -> why it has no score."""
    committed: str | None
    certificate: CertificateView | None
    certificates: dict[str, CertificateView]
    """Every experiment that the gate was asked about."""
    vault: VaultView | None
    seconds: float
    message: str = ""
    loop: LoopView | None = None
    """The search that went on alone after the script."""
