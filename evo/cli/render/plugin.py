"""How the plugin's installation, the armed loop and a hook's answer look. A hook's answer is JSON, for its client."""

from __future__ import annotations

import json

from evo.cli.blocks import Block, Text
from evo.domain.plugin_views import ArmedView, HookView, PluginView


def plugin(view: PluginView) -> list[Block]:
    counts = f"{len(view.written)} files written, {view.unchanged} as they were, {len(view.removed)} removed"
    blocks: list[Block] = [Text(f"{view.client}: {view.folder}", note=counts)]
    blocks += [Text(f"  kept, for somebody has edited it: {name}") for name in view.kept]
    return blocks + [Text(f"  {step}") for step in view.steps]


def armed(view: ArmedView) -> list[Block]:
    if not view.armed:
        return [Text("not armed", note=view.why)]
    until = f", until {view.until}" if view.until else ""
    return [Text(f"armed: {view.rounds_left} rounds left{until}", note=view.why)]


def hook(view: HookView) -> list[Block]:
    return [Text(json.dumps(view.output))] if view.output else []
