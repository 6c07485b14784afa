"""Prompts and answers as tokens, by the pinned base model: what every engine that generates is fed and read with.

Invariant: tokenizer, chat template and end tokens come from the base (or the job), never from a trained folder; two
engines given the same job see the same token ids, and the same ids become the same text.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import TemplateError
from transformers import AutoConfig, AutoTokenizer, GenerationConfig

from evo.domain.item import Item
from evo.domain.job import EvalJob
from evo.errors import RunFailed, UsageError
from evo.evaluate.generation import Generation
from evo.evaluate.grading import Names


class Prompt(NamedTuple):
    item: Item
    tokens: list[int]


class Answer(NamedTuple):
    item: Item
    sample: int
    output: str
    is_cut_off: bool = False


class Prompter:
    """`ends`: the tokens that end an answer. `pad`: what fills a row up."""

    def __init__(self, job: EvalJob, settings: Generation) -> None:
        if settings.max_new_tokens < 1:
            raise UsageError("eval.max-new-tokens must be at least 1")
        self._job = job
        self._stop = settings.stop
        self.base = Path(job.base_model or job.model)
        self.tokenizer = _tokenizer(self.base, job.chat_template)
        self.ends = _end_tokens(self.base, self.tokenizer)
        pad = self.tokenizer.pad_token_id
        self.pad: int = pad if pad is not None else self.ends[0] if self.ends else 0

    def prompts(self, items: Sequence[Item], *, limit: int | None) -> list[Prompt]:
        """Longest first, with the generation prompt at the end. RunFailed where one leaves no room in `limit`."""
        names = Names(self._job, items)
        made = [Prompt(item, self._tokens(item, names)) for item in items]
        for prompt in made:
            if limit is not None and len(prompt.tokens) >= limit:
                problem = f"the {names(prompt.item.id)} has {len(prompt.tokens)} tokens, and the model reads {limit}"
                raise RunFailed(problem, hint="shorten the item or the system prompt")
        return sorted(made, key=lambda prompt: -len(prompt.tokens))

    def text(self, tokens: Sequence[int]) -> str:
        """The answer up to its first end token and its first stop text."""
        cut = next((place for place, token in enumerate(tokens) if token in self.ends), len(tokens))
        text: str = self.tokenizer.decode(
            list(tokens[:cut]), skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        cuts = [text.index(stop) for stop in self._stop if stop in text]
        return text[: min(cuts)] if cuts else text

    def is_cut_off(self, tokens: Sequence[int], *, room: int) -> bool:
        """It took all of `room` and came to no end; a model that knows no end token is never cut off."""
        if not self.ends or len(tokens) < room or any(token in (*self.ends, self.pad) for token in tokens):
            return False
        return not self._stop or not any(stop in self.tokenizer.decode(list(tokens)) for stop in self._stop)

    def rendered(self, item: Item, names: Names | None = None, *, answer: str | None = None) -> str:
        """The text that the model is given, or with `answer` the whole exchange, as training renders it."""
        messages = [{"role": role, "content": content} for role, content in item.messages]
        if self._job.system_prompt and item.messages[0][0] != "system":
            messages.insert(0, {"role": "system", "content": self._job.system_prompt})
        if answer is not None:
            messages.append({"role": "assistant", "content": answer})
        try:
            text: str = self.tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=answer is None
            )
        except TemplateError as error:
            named = (names or Names(self._job, [item]))(item.id)
            raise RunFailed(f"the chat template refuses the {named}: {error}") from None
        return text

    def _tokens(self, item: Item, names: Names) -> list[int]:
        tokens: list[int] = self.tokenizer(self.rendered(item, names), add_special_tokens=False)["input_ids"]
        return tokens


def load_config(base: Path) -> Any:
    try:
        return AutoConfig.from_pretrained(base)
    except (OSError, ValueError) as error:
        raise RunFailed(f"{base} is no model that transformers can load: {error}") from error


def _tokenizer(base: Path, template: str | None) -> Any:
    """The base's tokenizer, padding on the left, with the pinned template."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(base, padding_side="left")
    except (OSError, ValueError) as error:
        raise RunFailed(f"the tokenizer of {base} cannot be loaded: {error}") from error
    if template is not None:
        tokenizer.chat_template = template
    if not tokenizer.chat_template:
        raise UsageError(
            f"the base model {base} has no chat template", hint="evo init --chat-template FILE or from:MODEL"
        )
    return tokenizer


def _end_tokens(base: Path, tokenizer: Any) -> list[int]:
    """Those that the base's generation config names (its config, where it has none), and the tokenizer's own."""
    try:
        suggested = GenerationConfig.from_pretrained(base).eos_token_id
    except OSError:
        suggested = load_config(base).eos_token_id
    listed = suggested if isinstance(suggested, list) else [suggested]
    return sorted({token for token in [*listed, tokenizer.eos_token_id] if token is not None})
