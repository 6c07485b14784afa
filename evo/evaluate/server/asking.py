"""Token ids in, token ids out: questions to the warm server, several at a time.

Invariant: an answer is what was generated up to and with its end token, and depends on nothing but weights, prompt,
settings and its own seed.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any, NamedTuple

from evo.errors import RunFailed
from evo.evaluate.server.hold import Served

_BATCHES_AT_ONCE = 4
"""The server batches what lies in them by itself."""


class Question(NamedTuple):
    """`room`: tokens that the answer may have. `seed`: of its draw; None: greedy."""

    place: int
    tokens: list[int]
    room: int
    seed: int | None = None


class Manner(NamedTuple):
    """What all questions have in common. `salt` keeps apart what the server remembers of different weights."""

    ends: list[int]
    salt: str
    temperature: float = 0.0
    top_p: float = 1.0
    stop: Sequence[str] = ()
    batch_size: int = 64


def answers(served: Served, questions: Sequence[Question], how: Manner) -> Iterator[tuple[int, list[int]]]:
    """(place, tokens) of each question, as they come. ServerLost, ServerRefused."""
    batches = list(_batches(questions, how.batch_size))
    width = _BATCHES_AT_ONCE if how.temperature == 0 else how.batch_size
    with ThreadPoolExecutor(width) as pool:
        futures = {pool.submit(_complete, served, batch, how): batch for batch in batches}
        try:
            for future in as_completed(futures):
                places = [question.place for question in futures[future]]
                yield from zip(places, future.result(), strict=True)
        finally:
            pool.shutdown(cancel_futures=True)


def seed_of(*parts: object) -> int:
    """Of one answer: with one seed for all, the same luck would strike every item."""
    digest = hashlib.sha256(" ".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def _batches(questions: Sequence[Question], size: int) -> Iterator[list[Question]]:
    """Up to `size` greedy ones with the same room; a drawn one is asked alone, since a request has one seed."""
    for _, group in itertools.groupby(questions, key=lambda question: (question.room, question.seed)):
        alike = list(group)
        yield from (alike[start : start + size] for start in range(0, len(alike), size))


def _complete(served: Served, batch: Sequence[Question], how: Manner) -> list[list[int]]:
    is_greedy = how.temperature == 0
    payload: dict[str, object] = {
        "model": served.model,
        "prompt": [question.tokens for question in batch],
        "max_tokens": batch[0].room,
        "temperature": how.temperature,
        "top_p": 1.0 if is_greedy else how.top_p,
        "stop": list(how.stop),
        "stop_token_ids": how.ends,
        "ignore_eos": True,  # the ends above are all there are
        "return_token_ids": True,
        "cache_salt": how.salt,
    }
    if batch[0].seed is not None:
        payload["seed"] = batch[0].seed
    answer: Any = served.post("/v1/completions", payload)
    try:
        choices = sorted(answer["choices"], key=lambda choice: choice["index"])
        tokens = [list(choice["token_ids"]) for choice in choices]
    except (KeyError, TypeError):
        raise RunFailed("the inference server gave no token ids", hint="evo doctor names its version") from None
    if len(tokens) != len(batch):
        raise RunFailed(f"the inference server gave {len(tokens)} answers to {len(batch)} prompts")
    return tokens
