"""Backend `hf`: generate with transformers, in this process.

Invariant: prompt and generation are the pinned base model's. Tokenizer, chat template, end tokens and architecture come
from the base (or the job); the trained folder gives tensors and nothing else. An answer does not depend on what shared
its batch, nor on what was evaluated before.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from transformers import GenerationConfig

from evo.domain.item import Item, ItemResult
from evo.domain.job import EvalJob
from evo.errors import RunFailed, UsageError
from evo.evaluate.generation import Generation, generation_of
from evo.evaluate.grading import Grader, build_scorer
from evo.evaluate.models import WarmModel
from evo.evaluate.prompts import Answer, Prompt, Prompter

Thing = TypeVar("Thing")
Made = TypeVar("Made")


class HfBackend:
    """`load` then `generate` may be called again and again in one process; `results` is both, once, graded."""

    def __init__(self, job: EvalJob, *, warm: WarmModel | None = None) -> None:
        self._job = job
        self._generation = generation_of(job.generation)
        self._device = _device(job.device)
        self._prompter = Prompter(job, self._generation)
        self._pinned = _generation_config(self._prompter, self._generation)
        self._warm = warm or WarmModel(self._prompter.base, dtype=getattr(torch, job.dtype), device=self._device)
        self._model: Any = None
        if "OMP_NUM_THREADS" not in os.environ:
            torch.set_num_threads(1)

    def results(self, items: Sequence[Item], model: Path | None = None) -> Iterator[ItemResult]:
        grader = Grader(self._job, items, scorer=build_scorer(self._job, items))
        self.load(Path(self._job.model) if model is None else model)
        for answer in self.generate(items):
            yield grader.grade(*answer)

    def beside(self, job: EvalJob) -> HfBackend:
        return HfBackend(job, warm=self._warm)

    def load(self, folder: Path) -> None:
        """Take the weights in `folder`: full ones, or an adapter on the base. RunFailed where they do not fit."""
        self._model = self._warm.take(folder)
        self._model.generation_config = self._pinned

    def generate(self, items: Sequence[Item]) -> Iterator[Answer]:
        """An answer for each item and sample, longest prompts first; greedy answers are made once and given k times."""
        settings = self._generation
        limit = getattr(self._model.config, "max_position_embeddings", None)
        prompts = self._prompter.prompts(items, limit=limit)
        draws = settings.samples if settings.temperature else 1
        for draw in range(draws):
            torch.manual_seed(settings.seed + draw)
            for prompt, tokens in in_batches(prompts, self._answer, size=settings.batch_size):
                output = self._prompter.text(tokens)
                is_cut_off = self._prompter.is_cut_off(tokens, room=settings.max_new_tokens)
                for sample in range(settings.samples) if draws == 1 else [draw]:
                    yield Answer(prompt.item, sample, output, is_cut_off)

    def _answer(self, prompts: Sequence[Prompt]) -> list[tuple[Prompt, list[int]]]:
        """Generate for one batch, padded on the left."""
        width = max(len(prompt.tokens) for prompt in prompts)
        ids_B_T = torch.full((len(prompts), width), self._pinned.pad_token_id, dtype=torch.long)
        mask_B_T = torch.zeros_like(ids_B_T)
        for row, prompt in enumerate(prompts):
            ids_B_T[row, width - len(prompt.tokens) :] = torch.tensor(prompt.tokens)
            mask_B_T[row, width - len(prompt.tokens) :] = 1
        stop = self._generation.stop
        with torch.inference_mode():
            out_B_T = self._model.generate(
                input_ids=ids_B_T.to(self._device),
                attention_mask=mask_B_T.to(self._device),
                generation_config=self._pinned,
                stopping_criteria=[StopAtText(self._prompter.tokenizer, stop, prompt_width=width)] if stop else None,
            )
        return list(zip(prompts, out_B_T[:, width:].tolist(), strict=True))


class StopAtText:
    """Ends a row when one of `stop` is in what it has written; only the tail is decoded at each step."""

    def __init__(self, tokenizer: Any, stop: Sequence[str], *, prompt_width: int) -> None:
        self._tokenizer = tokenizer
        self._stop = stop
        self._prompt_width = prompt_width
        self._tail = max(len(text.encode()) for text in stop) + 4

    def __call__(self, ids_B_T: Any, scores: Any, **kwargs: Any) -> Any:
        del scores, kwargs
        start = max(self._prompt_width, ids_B_T.shape[1] - self._tail)
        texts = self._tokenizer.batch_decode(ids_B_T[:, start:], skip_special_tokens=True)
        done = [any(stop in text for stop in self._stop) for text in texts]
        return torch.tensor(done, device=ids_B_T.device)


def in_batches(
    things: Sequence[Thing], run: Callable[[Sequence[Thing]], Sequence[Made]], *, size: int
) -> Iterator[Made]:
    """`run` on up to `size` things at a time; where memory runs out the batch is halved, and stays so."""
    start = 0
    while start < len(things):
        batch = things[start : start + size]
        try:
            made = run(batch)
        except RuntimeError as error:
            if not _is_out_of_memory(error):
                raise
            if len(batch) == 1:
                raise RunFailed("one item alone does not fit into memory", hint="eval.max-new-tokens, dtype") from None
            size = len(batch) // 2
            made = []
        if not made:
            torch.cuda.empty_cache()
            continue
        start += len(batch)
        yield from made


def _is_out_of_memory(error: RuntimeError) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error)


def _device(name: str) -> str:
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError("model.device is cuda, and torch sees no such device", hint="evo config set model.device auto")
    return name


def _generation_config(prompter: Prompter, settings: Generation) -> Any:
    """evo.yaml's settings with the base's end tokens; nothing else that the base suggests is taken over."""
    sampling = {"temperature": settings.temperature, "top_p": settings.top_p, "top_k": 0}
    return GenerationConfig(
        max_new_tokens=settings.max_new_tokens,
        do_sample=settings.temperature > 0,
        eos_token_id=prompter.ends or None,
        pad_token_id=prompter.pad,
        **(sampling if settings.temperature > 0 else {}),
    )
