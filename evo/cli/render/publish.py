"""How exports, pushes and model cards look."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evo.cli.blocks import Block, Text

if TYPE_CHECKING:
    from evo.domain.publish_views import CardView, ExportView, PushView


def export(view: ExportView) -> list[Block]:
    stored = f", {view.dtype}" if view.dtype else ""
    head = Text(f"{view.id} is in {view.to}", "bold", f"{view.kind}{stored}, {view.bytes / 1e6:.1f} MB")
    same = "the weights that were scored" if view.exported_hash == view.weights_hash else "merged: rounded once"
    return [head, Text(f"  weights  sha256 {view.exported_hash[:16]}", note=same)]


def push(view: PushView) -> list[Block]:
    certified = "certified" if view.certified else "UNCERTIFIED"
    shown = f"{view.kind}, {view.bytes / 1e6:.1f} MB, {'private if new' if view.private else 'public if new'}"
    style = "bold green" if view.certified else "bold yellow"
    return [Text(f"{view.id} is at {view.url}", style, certified), Text(f"  commit {view.commit[:12]}", note=shown)]


def card(view: CardView) -> list[Block]:
    if view.path is not None:
        note = "" if view.certified else "UNCERTIFIED"
        return [Text(f"the card of {view.id} is in {view.path}", "bold", note)]
    return [Text(line) for line in view.text.rstrip("\n").split("\n")]
