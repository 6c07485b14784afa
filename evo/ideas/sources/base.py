"""A literature source: what it has at an address, and what it has on a subject.

Invariant: it gives what the service says, word for word and unranked; whoever cannot be asked raises `Unreachable`,
and an address where there is nothing is None.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol

from evo.ideas.references import Record
from evo.ideas.web import Web


class Found(NamedTuple):
    """A paper that answers a search. `code`: its public repository, empty where none is known."""

    url: str
    title: str
    summary: str
    year: int
    source: str
    code: str = ""


class Literature(Protocol):
    name: str

    def __init__(self, web: Web) -> None: ...

    def lookup(self, ids: Iterable[str]) -> dict[str, Record | None]:
        """What stands at each id (`Target.id`); one request for all of them where the service can."""

    def search(self, words: str, *, limit: int) -> list[Found]:
        """Papers on these words, as the service orders them."""


def row_of(text: str) -> dict[str, Any]:
    """A page that is one JSON object. ValueError."""
    row = json_of(text)
    if not isinstance(row, dict):
        raise ValueError("is no JSON object")
    return row


def json_of(text: str) -> Any:
    """ValueError, in words that follow `something that`."""
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        raise ValueError("is no JSON") from None
