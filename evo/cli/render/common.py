"""How a plain message and a setting look."""

from __future__ import annotations

from evo.cli.blocks import Block, Text
from evo.domain.views import KeyValueView, MessageView


def message(view: MessageView) -> list[Block]:
    blocks: list[Block] = [Text(view.message)] if view.message else []
    return blocks + [Text(f"  {key}: {value}") for key, value in view.facts.items()]


def key_value(view: KeyValueView) -> list[Block]:
    return [Text("none" if view.value is None else str(view.value))]
