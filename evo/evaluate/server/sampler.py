"""Answers that a page in training has drawn by the warm server, from its weights as they are.

Invariant: a run never waits for a server that is not to be had, and never starts or owns one: where this one gives
nothing, the page draws by itself.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from evo.domain.job import ServerFacts
from evo.evaluate.server import staging
from evo.evaluate.server.asking import Manner, Question, answers, seed_of
from evo.evaluate.server.command import context_of
from evo.evaluate.server.hold import CannotSwap, Hold, Served, ServerDown
from evo.evaluate.server.wire import ServerLost, ServerRefused
from evo.evaluate.weights import is_adapter, weights_hash
from evo.validation import restore


class Drawing(Protocol):
    """How a page draws: `evo.recipe.sampling.Drawing`."""

    max_new_tokens: int
    temperature: float
    top_p: float
    batch_size: int
    seed: int


class ServerSampler:
    """`server`: a ServerFacts as it stands in job.json. The server is held from the first draw to the process's end."""

    def __init__(self, server: Mapping[str, object]) -> None:
        self._facts = restore(ServerFacts, server)
        self._hold = Hold(self._facts, None)
        self._is_given_up = False

    def draw(self, folder: Path, prompts: Sequence[list[int]], ends: list[int], how: Drawing) -> list[list[int]] | None:
        """The tokens of an answer to each prompt by the weights in `folder`; None where that cannot be."""
        room = how.max_new_tokens
        context = context_of(self._facts)
        is_odd = is_adapter(folder) and staging.why_not_servable(folder, max_rank=self._facts.max_lora_rank)
        if self._is_given_up or is_odd or any(len(tokens) + room > context for tokens in prompts):
            return None
        questions = [Question(n, tokens, room, seed_of(how.seed, n)) for n, tokens in enumerate(prompts)]
        manner = Manner(ends, weights_hash(folder), how.temperature, how.top_p, (), how.batch_size)
        try:
            return self._drawn(folder, questions, manner)
        except (ServerDown, CannotSwap, ServerRefused) as error:
            sys.stderr.write(f"evo: warning: answers are drawn in this process: {error or 'no swap on this server'}\n")
            self._is_given_up = True
            self._hold.release()
            return None

    def _drawn(self, folder: Path, questions: Sequence[Question], how: Manner) -> list[list[int]]:
        found: dict[int, list[int]] = {}
        while len(found) < len(questions):
            server = self._hold.ready()
            try:
                self._ask(server, folder, [q for q in questions if q.place not in found], how, found)
            except ServerLost:
                self._hold.await_change(server)
        return [found[question.place] for question in questions]

    def _ask(
        self, server: Served, folder: Path, open_: Sequence[Question], how: Manner, found: dict[int, list[int]]
    ) -> None:
        base, beside = Path(self._facts.base_model), Path(self._facts.folder)
        placed = self._hold.with_adapter if is_adapter(folder) else self._hold.with_weights
        with (
            staging.weights_alone(folder, base, beside=beside) as stage,
            placed(server, stage, how.salt) as served,
        ):
            found.update(answers(served, open_, how))
