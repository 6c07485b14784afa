"""What a trial run shows of its rows: as the trainer reads them, and as the evaluation would ask them.

    traces/rendered.json   {"read": [text, …], "asked": [text, …]}

Both texts have gone through the tokenizer, so that they differ only where the rendering does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from evo.files import write_json
from evo.recipe.rewards import prompt_of
from evo.recipe.run import Run

MOST_ROWS = 10


def note(run: Run, dataloader: Any, tokenizer: Any) -> None:
    """Write a few rows as they go into a batch, where they are texts: a page that draws its own answers reads none.

    The loader is not iterated: that would draw from it.
    """
    rows = dataloader.dataset
    batch = dataloader.collate_fn([rows[index] for index in range(min(len(rows), MOST_ROWS))])
    read = [tokenizer.decode(ids) for ids in _token_rows(batch)]
    write_json(run.folder / "traces" / "rendered.json", {"read": read, "asked": list(_asked(run, tokenizer))})


def _token_rows(batch: object) -> Iterator[Any]:
    if isinstance(batch, Mapping):
        for name in batch:
            if str(name).endswith("input_ids"):
                yield from batch[name]


def _asked(run: Run, tokenizer: Any) -> Iterator[str]:
    for row in run.rows("train"):
        if isinstance(row.get("prompt"), str) or "messages" in row:
            messages = prompt_of(row, run.system_prompt)
            text = tokenizer.apply_chat_template(messages, chat_template=run.chat_template, tokenize=False)
            yield tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"])
