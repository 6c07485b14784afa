"""What a smoke run shows to be wrong, before a full run pays for it.

Invariant: facts in, faults out, nothing is read or written here; a fault names one reason of `REASONS`, what was seen,
and what to do. No fault means that the trial trained, left weights that the evaluator loads, and scored.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from evo.lightdata import dataclass, field

Reason = Literal[
    "out_of_memory", "no_output", "dtype", "template", "tokenizer", "reward", "training", "evaluation", "score"
]
Row = Mapping[str, object]

_MEMORY = ("out of memory", "outofmemoryerror", "memoryerror", "cannot allocate memory", "std::bad_alloc")
_DTYPE = re.compile(
    r"expected (?:m1 and m2|scalar type|self and mat2|tensor).{0,80}dtype|expected scalar type|must have the same dtype"
    r"|expected .{0,40}(?:float|half|bfloat16).{0,20}(?:but|got)|not implemented for '(?:Half|BFloat16)'",
    re.IGNORECASE,
)
_NOT_FINITE = re.compile(r"\bloss is (?:nan|-?inf)|probability tensor contains either", re.IGNORECASE)
_TEMPLATE = re.compile(r"chat[_ ]template", re.IGNORECASE)
MARKERS = (
    "<|im_start|>", "<|im_end|>", "<|start_header_id|>", "<|eot_id|>", "[INST]", "[/INST]", "<start_of_turn>",
    "<end_of_turn>", "<|start_of_role|>", "<|user|>", "<|assistant|>", "<|system|>", "### Instruction:",
    "### Response:", "<|endoftext|>",
)  # fmt: skip
"""What chat templates put around turns: the words of a message hold none of it unless it was rendered before."""


COMPARED = 100
"""Characters of a rendered prompt that are looked for: the trainer may have cut off the rest of a long row."""


@dataclass(frozen=True)
class Fault:
    reason: Reason
    message: str
    hint: str = ""


@dataclass(frozen=True)
class TokenizerFacts:
    """What a folder says of its tokenizer; None where it says nothing. `specials`: `eos_token` -> its text."""

    template: str | None = None
    vocabulary: Mapping[str, int] | None = None
    specials: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class End:
    """How the trial's process tree ended, as the supervisor says."""

    outcome: str
    stage: str
    failure: str = ""
    message: str = ""


@dataclass(frozen=True)
class Marks:
    """Per-item means of the trial and of the base on the same items, and the worst score there is (None: no bound)."""

    ours: Mapping[str, float]
    base: Mapping[str, float]
    outputs: Sequence[str | None]
    worst: float | None = 0.0


def of_ending(end: End) -> list[Fault]:
    """Why a trial that did not end well did not."""
    if end.outcome == "ok":
        return []
    where = "training" if end.stage == "train" else "the evaluation of its checkpoint"
    if end.failure == "out_of_memory" or any(sign in end.message.lower() for sign in _MEMORY):
        return [Fault("out_of_memory", f"{where} ran out of memory", _SMALLER)]
    if end.failure == "no_output":
        return [Fault("no_output", "training ended well and left nothing in its output folder", _FINISH)]
    said = f"{where} failed: {_ends(end.message) or end.failure}"
    signs: tuple[tuple[re.Pattern[str], Reason, str], ...] = (
        (_NOT_FINITE, "dtype", _RATE),
        (_DTYPE, "dtype", "load, train and save the weights in one precision"),
        (_TEMPLATE, "template", "evo init --chat-template pins one for a base model"),
    )
    other: Reason = "training" if end.stage == "train" else "evaluation"
    found = ((reason, hint) for sign, reason, hint in signs if sign.search(end.message))
    reason, hint = next(found, (other, ""))
    return [Fault(reason, said, hint)]


def _ends(message: str) -> str:
    """The first line, which says how it ended, and the last, which mostly says why."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return ": ".join(dict.fromkeys([*lines[:1], *lines[-1:]]))


_SMALLER = "a smaller batch_size with gradient_accumulation, a shorter max_length, gradient_checkpointing, a LoRA"
_FINISH = "save the model and hand it over: run.finish(folder), or write to EVO_CHECKPOINT_DIR"
_RATE = "a lower learning_rate, or bf16 or float32 in place of float16"


def of_losses(rows: Sequence[Row]) -> list[Fault]:
    """A loss or gradient that is no number: `run.log` writes it as null."""
    for row in rows:
        for name in ("loss", "grad_norm"):
            if name in row and not _is_finite(row[name]):
                return [Fault("dtype", f"{name} is not finite at step {row.get('step')}", _RATE)]
    return []


def of_rewards(rows: Sequence[Row]) -> list[Fault]:
    """A reward that is the same for every completion teaches nothing: the advantage of each is zero."""
    seen = [row for row in rows if _is_finite(row.get("reward"))]
    values = {float(row["reward"]) for row in seen}  # type: ignore[arg-type]
    spreads = [row["reward_std"] for row in seen if _is_finite(row.get("reward_std"))]
    if len(values) != 1 or any(abs(float(spread)) > 1e-9 for spread in spreads):  # type: ignore[arg-type]
        return []
    value = values.pop()
    if not spreads and value not in (0.0, 1.0):
        return []  # means alone: only at the ends do they tell that every completion got the same
    known = {
        0.0: "easier prompts, a denser reward, or supervised training first; and look at what the reward reads",
        1.0: "harder prompts, or a reward that tells good from better",
    }
    hint = known.get(value, "a reward must tell one completion of a prompt from another")
    return [Fault("reward", f"the reward was {value:g} for every completion of the trial", hint)]


def of_weights(*, broken: str, own: Iterable[str], base: Iterable[str]) -> list[Fault]:
    """`broken`: the first tensor with NaN or infinity. `own`, `base`: dtypes of full weights; empty: not to compare."""
    if broken:
        return [Fault("dtype", f"the saved weights are not finite: {broken}", _RATE)]
    ours, theirs = set(own), set(base)
    if ours and theirs and not ours <= theirs:
        what = f"the weights were saved as {', '.join(sorted(ours))}, and the base model is {', '.join(sorted(theirs))}"
        return [Fault("dtype", what, "model.to(dtype of the base) before it is saved")]
    return []


def of_tokenizer(own: TokenizerFacts, base: TokenizerFacts, *, template: str | None) -> list[Fault]:
    """`template`: the pinned one, which evaluation uses whatever was saved."""
    faults = []
    if own.template is not None and template is not None and own.template.strip() != template.strip():
        what = "the saved chat template is not the pinned one that evaluation uses"
        faults.append(Fault("template", what, "take run.chat_template; a new template is `evo init --chat-template`"))
    for name in sorted(own.specials.keys() & base.specials.keys()):
        if own.specials[name] != base.specials[name]:
            what = f"{name} is {own.specials[name]!r}, and evaluation goes by {base.specials[name]!r}"
            faults.append(Fault("template", what, "leave the special tokens as the base model has them"))
    if own.vocabulary is not None and base.vocabulary is not None and dict(own.vocabulary) != dict(base.vocabulary):
        faults.append(Fault("tokenizer", _vocabulary(own.vocabulary, base.vocabulary), _VOCABULARY))
    return faults


_VOCABULARY = "train with the base model's tokenizer as it is: evaluation reads that one"


def _vocabulary(own: Mapping[str, int], base: Mapping[str, int]) -> str:
    new, gone = sorted(own.keys() - base.keys()), sorted(base.keys() - own.keys())
    moved = sorted(token for token in own.keys() & base.keys() if own[token] != base[token])
    said = [
        f"{len(tokens)} {word} ({tokens[0]!r})"
        for tokens, word in ((new, "new"), (gone, "missing"), (moved, "with another number"))
        if tokens
    ]
    return f"the saved tokenizer has another vocabulary than the base model's: tokens {', '.join(said)}"


def of_rendering(training: Iterable[str], evaluation: Iterable[str], *, markers: Iterable[str] = ()) -> list[Fault]:
    """Messages of training rows that were rendered with a template already, while those of evaluation were not.

    `markers`: special tokens of the base model, beside those of the common templates.
    """
    known = dict.fromkeys([*MARKERS, *(marker for marker in markers if len(marker) > 3)])
    asked = "\n".join(evaluation)
    for text in training:
        found = next((marker for marker in known if marker in text and marker not in asked), None)
        if found is not None:
            what = (
                f"training rows hold {found!r}: they are rendered already, with another template than evaluation uses"
            )
            return [Fault("template", what, 'write plain messages or {"prompt", "target"}; the page renders them')]
    return []


def of_prompts(trained: Iterable[str], expected: Iterable[str]) -> list[Fault]:
    """`trained`: examples as the trainer read them. `expected`: the same rows' prompts by the pinned template."""
    read, wanted = list(trained), list(expected)
    if not read or not wanted or any(prompt[:COMPARED] in text for text in read for prompt in wanted):
        return []
    what = f"training rendered its rows as {_short(read[0])}, evaluation renders them as {_short(wanted[0])}"
    return [Fault("template", what, "render with the tokenizer's own template: run.chat_template")]


def _short(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:79] + "…")


def of_marks(marks: Marks) -> list[Fault]:
    """Some item is better than the worst; where the base itself has no such item, an output that can be read is enough.

    An evaluation without items of its own (a benchmark of one number) has nothing to say here.
    """
    if not marks.ours:
        return []
    if marks.worst is None or any(mark != marks.worst for mark in marks.ours.values()):
        return []
    shared = [marks.base[item] for item in marks.ours if item in marks.base]
    right = sum(mark != marks.worst for mark in shared)
    if right:
        what = f"not one of {len(marks.ours)} dev items is right, and the base model has {right} of them right"
        return [Fault("score", what, "a lower learning_rate; compare rendered training rows with dev items")]
    if all(not (output or "").strip() for output in marks.outputs):
        return [Fault("score", f"the outputs on all {len(marks.ours)} dev items are empty", "end token and template")]
    return []


def _is_finite(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
