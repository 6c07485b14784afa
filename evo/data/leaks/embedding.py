"""What means the same: rows whose embedding lies near an item's, by a local model. For the report only.

Mean pooling over the last hidden state of any transformers model, as a folder on this machine; nothing is downloaded.
Invariant: nothing that is found here blocks, for what is near depends on the model.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers

from evo.data.leaks.check import units_of
from evo.data.leaks.match import Match
from evo.data.leaks.passages import Gold
from evo.errors import NotFound

NEAR = 0.95
"""Cosine from which a row is reported."""
LONGEST, BATCH = 256, 32
"""Tokens of a text that count; texts that are embedded at a time."""


def nearest(path: Path, golds: Sequence[Gold], model: Path) -> list[Match]:
    """Each text of `path` that lies near an item's question, by the nearest. NotFound where the model is not there."""
    if not (model / "config.json").is_file():
        raise NotFound(f"leaks.embedding: {model} holds no model", hint="name a folder with config.json and weights")
    names = [(gold.split, item) for gold in golds for item in gold.items]
    texts = [(unit.line, text) for unit in units_of(path) for text in unit.texts if text.strip()]
    if not names or not texts:
        return []
    embed = _Embedder(model)
    items_ND = torch.cat(list(embed([item.question for _, item in names])))
    found: dict[tuple[int, str], Match] = {}
    at = 0
    for rows_BD in embed([text for _, text in texts]):
        best = (rows_BD @ items_ND.T).max(dim=1)
        for score, index in zip(best.values.tolist(), best.indices.tolist(), strict=True):
            line, (split, item) = texts[at][0], names[index]
            at += 1
            if score >= NEAR:
                match = Match(str(path), line, item.id, split, "embedding", "question", round(score, 3), "warn")
                found.setdefault((line, item.id), match)
    return list(found.values())


class _Embedder:
    def __init__(self, model: Path) -> None:
        self._tokenizer: Any = transformers.AutoTokenizer.from_pretrained(str(model), local_files_only=True)
        if self._tokenizer.pad_token is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token
        self._model: Any = transformers.AutoModel.from_pretrained(str(model), local_files_only=True).eval()

    def __call__(self, texts: Sequence[str]) -> Iterator[Any]:
        """Unit vectors (B, D), batch by batch."""
        for at in range(0, len(texts), BATCH):
            with torch.inference_mode():
                yield self._unit_BD(list(texts[at : at + BATCH]))

    def _unit_BD(self, texts: list[str]) -> Any:
        tokens = self._tokenizer(texts, padding=True, truncation=True, max_length=LONGEST, return_tensors="pt")
        mask_BT = tokens["attention_mask"]
        hidden_BTD = self._model(input_ids=tokens["input_ids"], attention_mask=mask_BT).last_hidden_state
        mask_BT1 = mask_BT.unsqueeze(-1).to(hidden_BTD.dtype)
        mean_BD = (hidden_BTD * mask_BT1).sum(1) / mask_BT1.sum(1).clamp(min=1)
        return torch.nn.functional.normalize(mean_BD.float(), dim=-1)
