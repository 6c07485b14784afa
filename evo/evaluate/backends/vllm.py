"""Backend `vllm`: the warm inference server answers, over its socket, with token ids in and token ids out.

Invariant: prompts, end tokens and the way from tokens to text are those of the `hf` backend, word for word; only the
engine differs, and the eval_hash says so. Where the server is down an evaluation fails and names it (ops goes on with
`hf`, as another epoch); a mid-evaluation, which ranks nothing, goes on with `hf` by itself.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, NamedTuple

from evo.domain.item import Item, ItemResult
from evo.domain.job import EvalJob, ServerFacts
from evo.errors import RunFailed, UsageError
from evo.evaluate.generation import generation_of
from evo.evaluate.grading import Grader, Names, build_scorer
from evo.evaluate.prompts import Answer, Prompt, Prompter
from evo.evaluate.server import staging
from evo.evaluate.server.command import context_of, positions
from evo.evaluate.server.hold import CannotSwap, Hold, Served, ServerDown
from evo.evaluate.server.wire import ServerLost, ServerRefused
from evo.evaluate.weights import is_adapter, weights_hash
from evo.registry import load

_GREEDY_REQUESTS = 4
"""In flight at once; the server batches what lies in them by itself."""


class Question(NamedTuple):
    """One prompt and one draw. `room`: tokens that its answer may have."""

    prompt: Prompt
    draw: int
    room: int


class Weights(NamedTuple):
    folder: Path
    digest: str


class VllmBackend:
    """`results` may be called again and again; the server is held from the first call to the end of this process."""

    def __init__(self, job: EvalJob) -> None:
        if job.server is None:
            raise UsageError("the backend vllm needs a server", hint="evo config set server.python PYTHON_WITH_VLLM")
        self._job = job
        self._facts: ServerFacts = job.server
        self._generation = generation_of(job.generation)
        self._prompter = Prompter(job, self._generation)
        self._hold = Hold(self._facts, dict(os.environ))
        self._fallback: Any = None

    def results(self, items: Sequence[Item], model: Path | None = None) -> Iterator[ItemResult]:
        folder = Path(self._job.model) if model is None else model
        if self._job.split == "mid":
            yield from self._mid_results(items, folder)
            return
        grader = Grader(self._job, items, scorer=build_scorer(self._job, items))
        for answer in self.answers(items, folder):
            yield grader.grade(answer.item, answer.sample, answer.output)

    def answers(self, items: Sequence[Item], folder: Path) -> Iterator[Answer]:
        """An answer for each item and sample; greedy answers are made once and given k times."""
        settings = self._generation
        draws = settings.samples if settings.temperature else 1
        open_ = {(q.prompt.item.id, q.draw): q for q in self._questions(items, draws)}
        is_base = folder.resolve() == Path(self._facts.base_model).resolve()
        weights = Weights(folder, self._facts.weights if is_base else weights_hash(folder))
        while open_:
            server = self._hold.ready()
            try:
                with self._serving(server, weights) as served:
                    for question, tokens in self._ask(served, list(open_.values()), salt=weights.digest):
                        del open_[question.prompt.item.id, question.draw]
                        output = self._prompter.text(tokens)
                        for sample in range(settings.samples) if draws == 1 else [question.draw]:
                            yield Answer(question.prompt.item, sample, output)
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
                yield from (grader.grade(answer.item, answer.sample, answer.output) for answer in answers)
                return
        yield from self._fallback.results(items, folder)

    def _questions(self, items: Sequence[Item], draws: int) -> Iterator[Question]:
        names, wanted = Names(self._job, items), self._generation.max_new_tokens
        context = context_of(self._facts)
        limit = positions(self._prompter.base)
        prompts = self._prompter.prompts(items, limit=limit)
        for prompt in prompts:
            room = min(wanted, context - len(prompt.tokens))
            if room < wanted and context != limit:
                needs = f"the {names(prompt.item.id)} needs {len(prompt.tokens) + wanted} tokens with its answer"
                hint = f"evo config set server.max-length {len(prompts[0].tokens) + wanted}"
                raise RunFailed(f"{needs}, and server.max-length is {context}", hint=hint)
        for draw in range(draws):
            for prompt in prompts:
                yield Question(prompt, draw, min(wanted, context - len(prompt.tokens)))

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

    def _ask(self, served: Served, questions: Sequence[Question], *, salt: str) -> Iterator[tuple[Question, list[int]]]:
        """Answers as they come, several requests at a time. ServerLost, ServerRefused."""
        is_greedy = self._generation.temperature == 0
        size = self._generation.batch_size
        batches = list(_batches(questions, size if is_greedy else 1))
        with ThreadPoolExecutor(_GREEDY_REQUESTS if is_greedy else size) as pool:
            futures = {pool.submit(self._complete, served, batch, salt): batch for batch in batches}
            try:
                for future in as_completed(futures):
                    yield from zip(futures[future], future.result(), strict=True)
            finally:
                pool.shutdown(cancel_futures=True)

    def _complete(self, served: Served, batch: Sequence[Question], salt: str) -> list[list[int]]:
        settings = self._generation
        payload: dict[str, object] = {
            "model": served.model,
            "prompt": [question.prompt.tokens for question in batch],
            "max_tokens": batch[0].room,
            "temperature": settings.temperature,
            "top_p": settings.top_p if settings.temperature else 1.0,
            "stop": settings.stop,
            "stop_token_ids": self._prompter.ends,
            "ignore_eos": True,  # the ends above are all there are
            "return_token_ids": True,
            "cache_salt": salt,  # what other weights have left in the cache is not used
        }
        if settings.temperature:
            payload["seed"] = _seed(settings.seed + batch[0].draw, batch[0].prompt.item.id)
        answer: Any = served.post("/v1/completions", payload)
        try:
            choices = sorted(answer["choices"], key=lambda choice: choice["index"])
            tokens = [list(choice["token_ids"]) for choice in choices]
        except (KeyError, TypeError):
            raise RunFailed("the inference server gave no token ids", hint="evo doctor names its version") from None
        if len(tokens) != len(batch):
            raise RunFailed(f"the inference server gave {len(tokens)} answers to {len(batch)} prompts")
        return tokens


def _batches(questions: Sequence[Question], size: int) -> Iterator[list[Question]]:
    """Up to `size` at a time, all with the same room."""
    for _, group in itertools.groupby(questions, key=lambda question: question.room):
        alike = list(group)
        yield from (alike[start : start + size] for start in range(0, len(alike), size))


def _seed(seed: int, item: str) -> int:
    """Of one answer: with one seed for all, the same luck would strike every item."""
    digest = hashlib.sha256(f"{seed} {item}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
