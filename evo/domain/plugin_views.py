"""Views of the coding-agent plugin: what a hook answers, what an installation did, how the loop is armed."""

from __future__ import annotations

from evo.lightdata import dataclass, field


@dataclass(frozen=True)
class HookView:
    """`output`: the document that the client reads; empty where the hook has nothing to say."""

    event: str
    output: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class PluginView:
    """`written`, `kept` (edited by the user, left alone), `removed`: files relative to `folder`."""

    client: str
    folder: str
    written: list[str]
    kept: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    unchanged: int = 0
    steps: list[str] = field(default_factory=list)
    """Commands of the client that are left to do, or were done."""


@dataclass(frozen=True)
class ArmedView:
    """Whether the stop hook asks for another round, and how often still; `until`: a time, or None."""

    armed: bool
    rounds_left: int = 0
    until: str | None = None
    why: str = ""
