"""Answers drawn from a model in training, with the tokens they were made of.

Invariant: what is learned from an answer is what was drawn: its tokens are kept, and never made anew from its text. A
prompt is tokenised as the evaluation does it, and padded on the left.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import GenerationConfig

from evo import registry
from evo.files import write_jsonl
from evo.recipe.ranks import agreed, gathered, rank_and_world
from evo.recipe.training import Setup


@dataclass(frozen=True)
class Drawn:
    """One answer to the training row number `row`, from 0. `answer` ends with an end token where `has_ended`."""

    row: int
    prompt: list[int]
    answer: list[int]
    text: str
    has_ended: bool
    reward: float = 0.0
    terms: dict[str, float] = field(default_factory=dict)
    """Each reward of its own, unweighted."""


Prompt = tuple[int, list[dict[str, str]]]
"""The number of a training row, and what it asks as turns."""


@dataclass(frozen=True)
class Drawing:
    """How answers are drawn: `samples` to each prompt, `batch_size` of all at a time."""

    samples: int
    max_new_tokens: int
    temperature: float
    top_p: float
    batch_size: int
    seed: int


class Warm:
    """The workspace's warm inference server, where it can draw for this run."""

    def __init__(self, setup: Setup) -> None:
        self._folder = setup.run.folder
        self._is_base = setup.is_base
        server = setup.run.server if rank_and_world()[1] == 1 else None
        self._sampler = None if server is None else registry.load("sampler", "server")(server)

    def draw(self, model: Any, prompts: Sequence[list[int]], ends: list[int], how: Drawing) -> list[list[int]] | None:
        """The tokens of each answer; None where there is no server, or none for these weights."""
        is_on_others = hasattr(model, "peft_config") and not self._is_base  # an adapter, and not on the base model
        if self._sampler is None or is_on_others:
            return None
        with tempfile.TemporaryDirectory(dir=self._folder) as folder:
            model.save_pretrained(folder)
            found: list[list[int]] | None = self._sampler.draw(Path(folder), prompts, ends, how)
        return found


def draw(
    model: Any, tokenizer: Any, prompts: Sequence[Prompt], how: Drawing, *, warm: Warm | None = None
) -> list[Drawn]:
    """Answers to this process's share of the prompts, one prompt's together. Torch's generators stay as they were."""
    rank, world = rank_and_world()
    asked = [
        (row, tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=False))
        for row, turns in prompts[rank::world]
    ]
    wanted = [prompt for prompt in asked for _ in range(how.samples)]
    if warm is not None:
        ends = end_tokens(model, tokenizer)
        answers = warm.draw(model, [ids for _, ids in wanted], ends, how)
        if answers is not None:
            return [
                _drawn(row, prompt, tokens, ends=ends, tokenizer=tokenizer)
                for (row, prompt), tokens in zip(wanted, answers, strict=True)
            ]
    by_length = sorted(range(len(wanted)), key=lambda place: -len(wanted[place][1]))
    found: dict[int, Drawn] = {}
    was_training = model.training
    devices = [model.device] if model.device.type == "cuda" else []
    with torch.random.fork_rng(devices), torch.inference_mode():
        torch.manual_seed(how.seed + 1_000_003 * rank)
        model.eval()
        for start in range(0, len(wanted), how.batch_size):
            places = by_length[start : start + how.batch_size]
            batch = _answers(model, tokenizer, [wanted[place] for place in places], how)
            found.update(zip(places, batch, strict=True))
        model.train(was_training)
    return [found[place] for place in range(len(wanted))]


def _answers(model: Any, tokenizer: Any, asked: Sequence[tuple[int, list[int]]], how: Drawing) -> Iterator[Drawn]:
    width = max(len(ids) for _, ids in asked)
    pad = tokenizer.pad_token_id
    ids_B_T = torch.tensor([[pad] * (width - len(ids)) + ids for _, ids in asked], device=model.device)
    mask_B_T = torch.tensor([[0] * (width - len(ids)) + [1] * len(ids) for _, ids in asked], device=model.device)
    ends = end_tokens(model, tokenizer)
    settings = GenerationConfig(
        max_new_tokens=how.max_new_tokens,
        do_sample=True,
        temperature=how.temperature,
        top_p=how.top_p,
        top_k=0,
        eos_token_id=ends,
        pad_token_id=pad,
    )
    has_bf16 = model.device.type == "cuda" and torch.cuda.is_bf16_supported()
    with torch.autocast(model.device.type, dtype=torch.bfloat16, enabled=has_bf16):
        out_B_T = model.generate(input_ids=ids_B_T, attention_mask=mask_B_T, generation_config=settings)
    for (row, prompt), tokens in zip(asked, out_B_T[:, width:].tolist(), strict=True):
        yield _drawn(row, prompt, tokens, ends=ends, tokenizer=tokenizer)


def _drawn(row: int, prompt: list[int], tokens: list[int], *, ends: list[int], tokenizer: Any) -> Drawn:
    stop = next((place for place, token in enumerate(tokens) if token in ends), None)
    answer = tokens if stop is None else tokens[: stop + 1]
    text = tokenizer.decode(answer, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return Drawn(row, prompt, answer, text, has_ended=stop is not None)


def end_tokens(model: Any, tokenizer: Any) -> list[int]:
    """Those that the base model names, and the tokenizer's."""
    named = model.generation_config.eos_token_id
    listed = named if isinstance(named, list) else [named]
    return sorted({token for token in [*listed, tokenizer.eos_token_id] if token is not None})


def once(path: Path, make: Callable[[], list[Drawn]]) -> tuple[list[Drawn], bool]:
    """All processes' answers by row, and whether they are new: `path` may hold them from an earlier start.

    `make` draws this process's share.
    """
    if agreed(path.is_file()):
        lines = path.read_text(encoding="utf-8").splitlines()
        return [Drawn(**json.loads(line)) for line in lines], False
    found = sorted(gathered(make()), key=lambda answer: answer.row)
    if rank_and_world()[0] == 0:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_jsonl(path, [asdict(answer) for answer in found])
    return found, True
