"""How the mirror looks."""

from __future__ import annotations

from evo.cli.blocks import Block, Text
from evo.domain.track_views import MirrorStatusView, SyncView


def status(view: MirrorStatusView) -> list[Block]:
    name = view.tracker + (f" ({view.mode})" if view.mode else "")
    blocks: list[Block] = [Text(name, "bold", view.why)]
    if view.tracker == "none":
        return blocks
    blocks.append(Text(f"  project  {view.project}", note=f"tree {view.tree}"))
    blocks.append(Text(f"  pages    {view.told} told, {view.owed} owed", note=view.folder))
    blocks.append(Text(f"  mirror   {'at work' if view.is_running else 'not running'}"))
    if view.problem:
        blocks.append(Text(f"  problem  {view.problem}", "yellow"))
    return blocks


def sync(view: SyncView) -> list[Block]:
    said = f"{view.pages} pages written" if view.pages else "nothing to write: all of it stands there"
    return [Text(f"{said}: {view.tracker} ({view.mode})", note=view.folder)]
