"""Makes the demo's base model and data again from scratch: a 0.8 M-parameter Llama that adds badly.

Writes `model/`, `gold.jsonl` and `train.jsonl` into --out. A sum is known by its two operands in either
order: no sum of gold.jsonl is in train.jsonl, nor among the sums of pre-training or validation. The ability
arrives as a jump, so training stops by exact match on the validation sums, not by time; gold is looked at
for the last line printed and for nothing else. One thread and fixed seeds: one machine makes the same bytes
each time, another processor may round differently and stop a few steps earlier or later. 35 s on one core.

    python workspace_template/addition/make_model.py --out /tmp/addition --target 0.35 --seed 0
"""

from __future__ import annotations

import argparse
import json
import random
import time
from pathlib import Path
from typing import NamedTuple

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

PAD, SYSTEM, USER, ASSISTANT, END = "<|pad|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>"
CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{{- '<|' + message['role'] + '|>' -}}"
    "{%- if message['role'] == 'assistant' -%}"
    "{%- generation -%}{{- message['content'] + '<|end|>' -}}{%- endgeneration -%}"
    "{%- else -%}{{- message['content'] + '<|end|>' -}}{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}"
)
DATA_SEED = 20  # apart from --seed, so that another model is measured on the same gold items
N_GOLD, N_VALIDATION, N_TRAIN_FILE = 600, 200, 3000
BATCH, LEARNING_RATE, WARMUP_STEPS, MAX_STEPS, CHECK_EVERY = 128, 3e-3, 50, 3000, 5
MAX_NEW_TOKENS = 5  # three digits, the end token, and room to be seen when it rambles

Sum = tuple[int, int]


class Sums(NamedTuple):
    gold: list[Sum]
    validation: list[Sum]
    train: list[Sum]


def split_sums() -> Sums:
    """All unordered pairs of 10..99 in three parts; in gold and validation in one order, in train in both."""
    rng = random.Random(DATA_SEED)
    pairs = [(a, b) for a in range(10, 100) for b in range(a, 100)]
    rng.shuffle(pairs)
    gold = [pair if rng.random() < 0.5 else pair[::-1] for pair in pairs[:N_GOLD]]
    validation = pairs[N_GOLD : N_GOLD + N_VALIDATION]
    train = sorted({order for pair in pairs[N_GOLD + N_VALIDATION :] for order in (pair, pair[::-1])})
    rng.shuffle(train)
    return Sums(gold, validation, train)


def messages(a: int, b: int) -> list[dict[str, str]]:
    return [{"role": "user", "content": f"{a}+{b}="}, {"role": "assistant", "content": str(a + b)}]


def write_items(path: Path, sums: list[Sum]) -> None:
    items = (
        {
            "id": f"{a}+{b}",
            "slice": "carry" if a % 10 + b % 10 >= 10 else "no-carry",
            "messages": messages(a, b),
        }
        for a, b in sums
    )
    path.write_text("".join(json.dumps(item) + "\n" for item in items), encoding="utf-8")


def make_tokenizer() -> PreTrainedTokenizerFast:
    """One token a byte and five special ones: 261 in all, nothing learnt."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE(vocab={byte: i for i, byte in enumerate(alphabet)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token=PAD,
        eos_token=END,
        extra_special_tokens=[SYSTEM, USER, ASSISTANT],
        padding_side="left",
        model_max_length=128,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def make_model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    end, pad = tokenizer.eos_token_id, tokenizer.pad_token_id
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=512,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=128,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=end,
        pad_token_id=pad,
    )
    model = LlamaForCausalLM(config)
    model.generation_config = GenerationConfig(
        do_sample=False, max_new_tokens=MAX_NEW_TOKENS, eos_token_id=end, pad_token_id=pad
    )
    return model


def encode(tokenizer: PreTrainedTokenizerFast, sums: list[Sum]) -> tuple[torch.Tensor, torch.Tensor]:
    """(ids_N_T, labels_N_T), padded on the right; only the answer and its end token bear a label."""
    encoded = tokenizer.apply_chat_template(
        [messages(a, b) for a, b in sums],
        return_dict=True,
        return_assistant_tokens_mask=True,
        return_tensors="pt",
        padding=True,
        tokenizer_kwargs={"padding_side": "right"},
    )
    ids_N_T, answer_N_T = encoded["input_ids"], encoded["assistant_masks"].bool()
    return ids_N_T, ids_N_T.masked_fill(~answer_N_T, -100)


@torch.no_grad()
def exact_match(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, sums: list[Sum]) -> float:
    """Share of greedy answers that equal the sum to the character."""
    prompts = tokenizer.apply_chat_template(
        [messages(a, b)[:1] for a, b in sums],
        add_generation_prompt=True,
        return_dict=True,
        return_tensors="pt",
        padding=True,
    )
    out_N_T = model.generate(**prompts)[:, prompts["input_ids"].shape[1] :]
    answers = tokenizer.batch_decode(out_N_T, skip_special_tokens=True)
    return sum(answer == str(a + b) for answer, (a, b) in zip(answers, sums, strict=True)) / len(sums)


def train(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, sums: Sums, target: float, seed: int) -> None:
    ids_N_T, labels_N_T = encode(tokenizer, sums.train)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.95), weight_decay=0.01)
    generator = torch.Generator().manual_seed(seed)
    started = time.monotonic()
    for step in range(1, MAX_STEPS + 1):
        optimizer.param_groups[0]["lr"] = LEARNING_RATE * min(1.0, step / WARMUP_STEPS)
        pick_B = torch.randint(len(ids_N_T), (BATCH,), generator=generator)
        loss = model(input_ids=ids_N_T[pick_B], labels=labels_N_T[pick_B]).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % CHECK_EVERY == 0:
            accuracy = exact_match(model, tokenizer, sums.validation)
            seconds = time.monotonic() - started
            print(f"step {step}  loss {loss.item():.3f}  validation {accuracy:.3f}  {seconds:.0f} s", flush=True)
            if accuracy >= target:
                return
    raise SystemExit(f"not at {target} after {MAX_STEPS} steps: try another --seed")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder for model/ and the two files")
    parser.add_argument("--target", type=float, default=0.35, help="validation exact match at which to stop")
    parser.add_argument("--seed", type=int, default=0, help="of the initial weights and the order of training")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)

    args.out.mkdir(parents=True, exist_ok=True)
    sums = split_sums()
    write_items(args.out / "gold.jsonl", sums.gold)
    write_items(args.out / "train.jsonl", sums.train[:N_TRAIN_FILE])
    tokenizer = make_tokenizer()
    model = make_model(tokenizer)
    train(model, tokenizer, sums, args.target, args.seed)
    model.save_pretrained(args.out / "model")
    tokenizer.save_pretrained(args.out / "model")
    print(f"gold exact match {exact_match(model, tokenizer, sums.gold):.3f}, saved in {args.out / 'model'}")


if __name__ == "__main__":
    main()
