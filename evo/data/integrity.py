"""A first look for leaks, before any compute is spent: gold questions among the rows that would be trained on.

Finds a question that a row asks, in whatever spelling `normalise` folds away, and a question with its answer written
out in one text. Invariant: a finding names file, line and item, and never quotes a sealed text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

from evo.data.reader import Row
from evo.data.text import normalise
from evo.domain.item import Item
from evo.lightdata import dataclass

_ANSWERS = ("target", "completion", "chosen", "rejected", "answer", "response")


@dataclass(frozen=True)
class Overlap:
    """Line `line` of `file` holds the item: its question, or its question and its answer."""

    file: str
    line: int
    item: str
    kind: Literal["question", "question+answer"]


def exact_overlap(rows: Iterable[Row], items: Iterable[Item], *, file: object) -> list[Overlap]:
    """The rows of `file` that hold one of `items`, in order of lines; one finding for each row and item."""
    asked: dict[str, list[Item]] = {}
    written: dict[str, list[Item]] = {}
    for item in items:
        asked.setdefault(normalise(item.question), []).append(item)
        written.setdefault(normalise(f"{item.question} {item.target or ''}"), []).append(item)
    findings: dict[tuple[int, str], Overlap] = {}
    for row in rows:
        answers: set[str] | None = None
        for text in map(normalise, dict.fromkeys(_questions(row.data))):
            for item in asked.get(text, ()):
                answers = {normalise(answer) for answer in _answers(row.data)} if answers is None else answers
                kind = _kind(normalise(item.target or "") in answers)
                findings.setdefault((row.line, item.id), Overlap(str(file), row.line, item.id, kind))
            for item in written.get(text, ()):
                findings.setdefault((row.line, item.id), Overlap(str(file), row.line, item.id, _kind(True)))
    return list(findings.values())


def question_key(row: Mapping[str, Any]) -> str:
    """What a row asks before its last answer, as one normalised text; empty for a row that asks nothing."""
    turns = _turns(row.get("messages", row.get("prompt")))
    asked = turns[:-1] if turns and turns[-1][0] == "assistant" else turns
    return normalise("\n".join(content for _, content in asked))


def _kind(has_answer: bool) -> Literal["question", "question+answer"]:
    return "question+answer" if has_answer else "question"


def _questions(row: Mapping[str, Any]) -> Iterator[str]:
    """Each text of a row that could be a question: the user's turns, all turns before an answer, running text.

    Of running text also each paragraph and each line: a question may stand anywhere in a document.
    """
    if isinstance(text := row.get("text"), str) and "\n" in text:
        yield from (part for part in (*text.split("\n\n"), *text.splitlines()) if part.strip())
    for key in ("messages", "prompt", "text"):
        turns = _turns(row.get(key))
        ends = [index for index, (role, _) in enumerate(turns) if role == "assistant"]
        yield from (content for role, content in turns if role == "user")
        yield from ("\n".join(content for _, content in turns[:end]) for end in ends or [len(turns)])


def _answers(row: Mapping[str, Any]) -> Iterator[str]:
    yield from (content for role, content in _turns(row.get("messages")) if role == "assistant")
    yield from (content for key in _ANSWERS for _, content in _turns(row.get(key)))


def _turns(value: object) -> list[tuple[str, str]]:
    """(role, content) of a conversation, the system's part left out; a plain text or number is one turn of the user."""
    if isinstance(value, (str, int, float)):
        return [("user", str(value))]
    messages = [message for message in value if isinstance(message, dict)] if isinstance(value, list) else []
    pairs = [(message.get("role"), message.get("content")) for message in messages]
    return [(str(role), content) for role, content in pairs if role != "system" and isinstance(content, str)]
