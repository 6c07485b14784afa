"""A random two-layer chat model of a few kilobytes, made on the spot: everything that a real one has, and no skill."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

TEMPLATE = (
    "{%- for message in messages -%}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>{%- endfor -%}"
    "{%- if add_generation_prompt -%}<|assistant|>{%- endif -%}"
)
SPECIAL = ["<|end|>", "<|pad|>", "<|system|>", "<|user|>", "<|assistant|>"]


def save_tokenizer(folder: Path, *, template: str | None = TEMPLATE) -> int:
    """A byte-level tokenizer without merges; the size of its vocabulary."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE(vocab={letter: number for number, letter in enumerate(letters)}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens(SPECIAL)
    wrapped = PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<|end|>", pad_token="<|pad|>")
    wrapped.chat_template = template
    wrapped.save_pretrained(folder)
    return len(letters) + len(SPECIAL)


def random_model(*, seed: int, vocabulary: int, ends: int, layers: int = 2, is_tied: bool = False) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=vocabulary, hidden_size=32, intermediate_size=64, num_hidden_layers=layers, num_attention_heads=2,
        max_position_embeddings=160, eos_token_id=ends, bos_token_id=None, pad_token_id=ends + 1, initializer_range=0.5,
        tie_word_embeddings=is_tied,
    )  # fmt: skip
    return LlamaForCausalLM(config)


def save_model(
    folder: Path, *, seed: int, template: str | None = TEMPLATE, layers: int = 2, is_tied: bool = False
) -> Path:
    """Full weights, tokenizer, template and generation config in `folder`."""
    vocabulary = save_tokenizer(folder, template=template)
    ends = vocabulary - len(SPECIAL)
    model = random_model(seed=seed, vocabulary=vocabulary, ends=ends, layers=layers, is_tied=is_tied)
    model.generation_config = GenerationConfig(eos_token_id=ends, pad_token_id=ends + 1)
    model.save_pretrained(folder)
    return folder
