"""Items: one question with its expected answer, and the result that an evaluation gives it.

An item comes as `{"messages": […, {"role": "assistant", "content": TARGET}]}` or `{"prompt", "target"}`, with optional
`id`, `slice`, `cluster`. Invariant: the id of an item without one is a hash of its content, so it survives reordering.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Literal

from evo.files import sha256_text
from evo.lightdata import dataclass, field

Split = Literal["mid", "dev", "heldout", "vault"]
ROLES = ("system", "user", "assistant", "tool")


class ItemError(ValueError):
    """A row is no item. `field` is the dotted place; the reader adds file and line."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(problem)
        self.field = field


@dataclass(frozen=True)
class Item:
    """`messages` is the prompt as (role, content) pairs, without the target."""

    id: str
    messages: tuple[tuple[str, str], ...]
    target: str | None
    slice: str | None = None
    cluster: str | None = None
    row: Mapping[str, object] = field(default_factory=dict, compare=False)
    """The row as it was read: what an evaluation command is given, with the id added."""

    @property
    def question(self) -> str:
        """What the model is asked, without system prompt: one text for views and comparisons."""
        return "\n".join(content for role, content in self.messages if role != "system")


@dataclass(frozen=True)
class ItemResult:
    """One graded answer. `output` is None where only its hash may be kept (held-out, vault).

    `is_cut_off`: it took all the tokens that it may have and came to no end.
    """

    item: str
    sample: int
    score: float
    output_hash: str
    output: str | None = None
    is_forbidden: bool = False
    is_cut_off: bool = False


def _text(row: Mapping[str, object], key: str) -> str:
    value = row[key]
    if not isinstance(value, str):
        raise ItemError(key, f"must be a string, not {type(value).__name__}")
    return value


def _optional_text(row: Mapping[str, object], key: str) -> str | None:
    value = row.get(key)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return None if value is None else _text(row, key)


def _messages(row: Mapping[str, object]) -> list[tuple[str, str]]:
    value = row["messages"]
    if not isinstance(value, list) or not value:
        raise ItemError("messages", "must be a list of at least one message")
    messages = []
    for index, message in enumerate(value):
        where = f"messages[{index}]"
        if not isinstance(message, dict) or set(message) - {"role", "content"}:
            raise ItemError(where, 'must be {"role", "content"}')
        role, content = message.get("role"), message.get("content")
        if role not in ROLES:
            raise ItemError(f"{where}.role", f"must be one of {', '.join(ROLES)}, not {role!r}")
        if not isinstance(content, str):
            raise ItemError(f"{where}.content", f"must be a string, not {type(content).__name__}")
        messages.append((role, content))
    return messages


def content_id(messages: tuple[tuple[str, str], ...], target: str | None) -> str:
    text = json.dumps([messages, target], ensure_ascii=False)
    return sha256_text(text)[:16]


def parse_item(row: object, *, needs_target: bool = True) -> Item:
    """The item that a decoded JSON row is. ItemError names the field."""
    if not isinstance(row, dict):
        raise ItemError("", f"must be a JSON object, not {type(row).__name__}")
    target: str | None
    if "messages" in row:
        pairs = _messages(row)
        target = pairs.pop()[1] if pairs[-1][0] == "assistant" else None
        if not pairs:
            raise ItemError("messages", "holds an answer but no question")
    elif "prompt" in row:
        pairs, target = [("user", _text(row, "prompt"))], _optional_text(row, "target")
    else:
        raise ItemError("", 'has neither "messages" nor "prompt"')
    if target is None and needs_target:
        where = "messages" if "messages" in row else "target"
        raise ItemError(
            where,
            "has no target: the last message must be the assistant's" if where == "messages" else "is missing",
        )
    messages = tuple(pairs)
    identifier = _optional_text(row, "id") or content_id(messages, target)
    return Item(identifier, messages, target, _optional_text(row, "slice"), _optional_text(row, "cluster"), row)


def checked_score(value: object, *, low: float | None, high: float | None) -> float:
    """`value` as a finite number within [low, high]; ValueError says what is wrong with it.

    Bools, strings, NaN and infinities are refused: nothing else may be recorded as a score.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"score must be a number, not {json.dumps(value, default=repr)}")
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"score must be finite, not {number}")
    if (low is not None and number < low) or (high is not None and number > high):
        raise ValueError(f"score {number} is outside the range [{low}, {high}]")
    return number
