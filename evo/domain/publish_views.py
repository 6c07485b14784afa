"""Views of what leaves evo: exported weights, a pushed repository, a model card, an adopted checkpoint."""

from __future__ import annotations

from evo.lightdata import dataclass, field


@dataclass(frozen=True)
class ExportView:
    """`kind`: full, adapter, merged (an adapter folded into its base), or files (no model: whatever the run left).

    `weights_hash`: of the weights that were scored; `exported_hash`: of those in the folder, other only when merged.
    """

    id: str
    to: str
    kind: str
    weights_hash: str
    exported_hash: str
    base: str | None
    dtype: str
    bytes: int
    files: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class PushView:
    id: str
    repo: str
    url: str
    commit: str
    private: bool
    certified: bool
    kind: str
    bytes: int
    files: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class CardView:
    """`path` is None where the card was printed and not written."""

    id: str
    certified: bool
    path: str | None
    text: str
