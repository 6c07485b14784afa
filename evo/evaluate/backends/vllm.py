"""Backend `vllm`: the warm inference server answers, over its socket, with token ids in and token ids out.

Invariant: prompts, end tokens and the way from tokens to text are those of the `hf` backend, word for word; only the
engine differs, and the eval_hash says so. Where the server is down an evaluation fails and names it (ops goes on with
`hf`, as another epoch); a mid-evaluation, which ranks nothing, goes on with `hf` by itself.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from itertools import starmap
from pathlib import Path
from typing import Any, NamedTuple

from evo.domain.item import Item, ItemResult
from evo.domain.job import EvalJob, ServerFacts
from evo.errors import RunFailed, UsageError
from evo.evaluate.generation import generation_of
from evo.evaluate.grading import Grader, Names, build_scorer
from evo.evaluate.prompts import Answer, Prompt, Prompter
from evo.evaluate.server import staging
from evo.evaluate.server.asking import Manner, Question, answers, seed_of
from evo.evaluate.server.command import context_of, positions
from evo.evaluate.server.hold import CannotSwap, Hold, Served, ServerDown
from evo.evaluate.server.wire import ServerLost, ServerRefused
from evo.evaluate.weights import is_adapter, weights_hash
from evo.registry import load


class Asked(NamedTuple):
    """One prompt and one draw of its answer."""

    prompt: Prompt
    draw: int


class Weights(NamedTuple):
    folder: Path
    digest: str


class VllmBackend:
    """`results` may be called again and again; the server is held from the first call to the end of this process."""

    def __init__(self, job: EvalJob, *, hold: Hold | None = None) -> None:
        if job.server is None:
            raise UsageError("the backend vllm needs a server", hint="evo config set server.python PYTHON_WITH_VLLM")
        self._job = job
        self._facts: ServerFacts = job.server
        self._generation = generation_of(job.generation)
        self._prompter = Prompter(job, self._generation)
        self._hold = hold or Hold(self._facts, dict(os.environ))
        self._context = context_of(self._facts)
        self._fallback: Any = None

    def results(self, items: Sequence[Item], model: Path | None = None) -> Iterator[ItemResult]:
        folder = Path(self._job.model) if model is None else model
        if self._job.split == "mid":
            yield from self._mid_results(items, folder)
            return
        grader = Grader(self._job, items, scorer=build_scorer(self._job, items))
        yield from starmap(grader.grade, self.answers(items, folder))

    def beside(self, job: EvalJob) -> VllmBackend:
        return VllmBackend(job, hold=self._hold)

    def answers(self, items: Sequence[Item], folder: Path) -> Iterator[Answer]:
        """An answer for each item and sample; greedy answers are made once and given k times."""
        settings = self._generation
        draws = settings.samples if settings.temperature else 1
        prompts = self._prompts(items)
        asked = [Asked(prompt, draw) for draw in range(draws) for prompt in prompts]
        open_ = {question.place: question for question in map(self._question, range(len(asked)), asked)}
        is_base = folder.resolve() == Path(self._facts.base_model).resolve()
        weights = Weights(folder, self._facts.weights if is_base else weights_hash(folder))
        while open_:
            server = self._hold.ready()
            try:
                with self._serving(server, weights) as served:
                    for place, tokens in answers(served, list(open_.values()), self._manner(weights.digest)):
                        room = open_.pop(place).room
                        prompt, draw = asked[place]
                        output, is_cut_off = self._prompter.text(tokens), self._prompter.is_cut_off(tokens, room=room)
                        for sample in range(settings.samples) if draws == 1 else [draw]:
                            yield Answer(prompt.item, sample, output, is_cut_off)
            except ServerLost:
                self._hold.await_change(server)
            except ServerRefused as error:
                if error.status < 500 or self._hold.is_up(server):
                    what = f"the weights in {folder} cannot be served: {error.message}"
                    raise RunFailed(what, hint="evo config set eval.backend hf") from None
                self._hold.await_change(server)

    def _mid_results(self, items: Sequence[Item], folder: Path) -> Iterator[ItemResult]:
        """All from one engine: the server, or `hf` from the moment on when that is down."""
        if self._fallback is None:
            grader = Grader(self._job, items, scorer=build_scorer(self._job, items))
            try:
                answers = list(self.answers(items, folder))
            except ServerDown as error:
                sys.stderr.write(f"evo: warning: {error.message}: mid-evaluations go on with hf\n")
                self._hold.release()
                self._fallback = load("backend", "hf")(self._job)
            else:
                yield from starmap(grader.grade, answers)
                return
        yield from self._fallback.results(items, folder)

    def _prompts(self, items: Sequence[Item]) -> list[Prompt]:
        """RunFailed names the item that the server is too short for."""
        names, wanted = Names(self._job, items), self._generation.max_new_tokens
        context, limit = self._context, positions(self._prompter.base)
        prompts = self._prompter.prompts(items, limit=limit)
        longest = prompts[0]
        needed = len(longest.tokens) + wanted
        if needed > context and context != limit:
            what = f"the {names(longest.item.id)} needs {needed} tokens with its answer"
            raise RunFailed(
                f"{what}, and server.max-length is {context}", hint=f"evo config set server.max-length {needed}"
            )
        return prompts

    def _question(self, place: int, asked: Asked) -> Question:
        settings = self._generation
        room = min(settings.max_new_tokens, self._context - len(asked.prompt.tokens))
        seed = seed_of(settings.seed + asked.draw, asked.prompt.item.id) if settings.temperature else None
        return Question(place, asked.prompt.tokens, room, seed)

    def _manner(self, salt: str) -> Manner:
        settings = self._generation
        return Manner(
            self._prompter.ends, salt, settings.temperature, settings.top_p, settings.stop, settings.batch_size
        )

    @contextlib.contextmanager
    def _serving(self, server: Served, weights: Weights) -> Iterator[Served]:
        """The server with these weights in place, however that is done."""
        folder, digest = weights
        if digest == self._facts.weights:
            with self._hold.with_base(server) as served:
                yield served
            return
        staging.check_whole(folder, self._prompter.base)
        if is_adapter(folder) and staging.why_not_servable(folder, max_rank=self._facts.max_lora_rank):
            folder = staging.merged(self._job, folder, digest)
        beside = Path(self._facts.folder)
        with staging.weights_alone(folder, self._prompter.base, beside=beside) as stage:
            placed = self._hold.with_adapter if is_adapter(stage) else self._hold.with_weights
            try:
                with placed(server, stage, digest) as served:
                    yield served
            except CannotSwap:
                with staging.own_server(self._facts, stage, digest) as served:
                    yield served
