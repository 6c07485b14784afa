"""The reward terms of a recipe, as functions that TRL's trainers call.

    terms = rewards.functions(run)
    GRPOTrainer(reward_funcs=terms, args=GRPOConfig(reward_weights=[term.weight for term in terms], …), …)

The dataset has a column `row`: the number of the training row, from 0, that a prompt was made of. Terms are named, and
the trainer logs each apart. Invariant: a term gives one finite number for each completion, or an error that names the
term and the row; nothing is clipped, skipped or made up.
"""

from __future__ import annotations

import math
import re
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from evo import registry
from evo.errors import FileFormatError, NotFound, RunFailed, UsageError
from evo.recipe.run import Run

_KINDS = ("scorer", "file", "model", "format", "max_length")
_SHAPE = "def reward(expected: str, actual: str) -> float"
_AT_ONCE = 32
"""Texts of one forward pass of a reward model."""


class Asked(NamedTuple):
    """One completion to reward: of the training row number `row`, from 0."""

    row: int
    prompt: list[dict[str, str]]
    answer: str


Reward = Callable[[Sequence[Asked]], Sequence[object]]


class Term:
    """One named, weighted reward; TRL calls it with columns, and takes its name from `__name__`."""

    def __init__(self, name: str, weight: float, reward: Reward) -> None:
        self.__name__ = name
        self.weight = weight
        self._reward = reward

    def __call__(
        self, *, prompts: Sequence[Any], completions: Sequence[Any], row: Sequence[int], **_others: object
    ) -> list[float]:
        """The rewards, unweighted. RunFailed names term and row where one is no finite number."""
        columns = zip(row, prompts, completions, strict=True)
        return self.of([Asked(int(number), _turns(prompt), _text(answer)) for number, prompt, answer in columns])

    def of(self, asked: Sequence[Asked]) -> list[float]:
        """The same, for a page that draws its own answers."""
        return [self._checked(one, value) for one, value in zip(asked, self._reward(asked), strict=True)]

    def _checked(self, asked: Asked, value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            found = f"gave {value!r} for train row {asked.row + 1}, where a finite number is wanted"
            raise RunFailed(f"the reward {self.__name__} {found}", hint=f"the completion was {asked.answer[:200]!r}")
        return float(value)


def functions(run: Run, role: str = "train") -> list[Term]:
    """The terms of recipe.yaml's `rewards` over the rows of `run.data(role)`. UsageError where there are none."""
    if not run.rewards:
        hint = "add `rewards: [{name: score, scorer: workspace}]` to recipe.yaml"
        raise UsageError("this recipe names no rewards", hint=hint)
    rows = list(run.rows(role))
    terms = [Term(str(spec["name"]), float(spec.get("weight", 1.0)), _reward(run, spec, rows)) for spec in run.rewards]
    names = [term.__name__ for term in terms]
    if len(set(names)) < len(names):
        raise UsageError(f"two rewards have one name: {', '.join(names)}", hint="each is logged under its name")
    return terms


def prompt_of(row: Mapping[str, Any], system_prompt: str = "") -> list[dict[str, str]]:
    """What a training row asks, as the evaluation asks it: a system message of its own stands, else `system_prompt`."""
    if "messages" in row:
        turns = [{"role": turn["role"], "content": turn["content"]} for turn in row["messages"]]
        turns = turns[:-1] if turns[-1]["role"] == "assistant" else turns
    else:
        turns = [{"role": "user", "content": row["prompt"]}]
    if system_prompt and turns[0]["role"] != "system":
        turns.insert(0, {"role": "system", "content": system_prompt})
    return turns


def target_of(row: Mapping[str, Any]) -> str:
    """The answer that a training row expects; empty where it has none."""
    if "messages" in row:
        last = row["messages"][-1]
        return str(last["content"]) if last["role"] == "assistant" else ""
    return str(row.get("completion", row.get("target") or ""))


def _reward(run: Run, spec: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> Reward:
    """What the spec's one kind means. UsageError where it has none, or two."""
    given = [kind for kind in _KINDS if spec.get(kind)]
    if len(given) != 1:
        what = f"is of {len(given)} kinds ({', '.join(given)})" if given else "is of no kind"
        raise UsageError(f"the reward {spec['name']} {what}", hint=f"give it exactly one of: {', '.join(_KINDS)}")
    kind = given[0]
    if kind == "scorer":
        return _measured(run, str(spec["scorer"]), rows)
    if kind == "file":
        return _from_file(Path(spec["file"]), rows)
    if kind == "model":
        return RewardModel(Path(spec["model"]))
    return _of_format(str(spec["format"])) if kind == "format" else _of_length(int(spec["max_length"]))


def _measured(run: Run, name: str, rows: Sequence[Mapping[str, Any]]) -> Reward:
    """The workspace's own measure, or a scorer of another name with the options that evo.yaml gives."""
    facts = dict(run.scorer or {})
    if name == "workspace" and not facts:
        hint = "name one (`scorer: exact`), or write `file: reward.py`"
        raise NotFound("this workspace has no scorer: a command gives its scores", hint=hint)
    if name != "workspace":
        facts = {"name": name, "options": facts.get("options", {}), "pinned_dir": facts.get("pinned_dir", "")}
        facts |= {"low": None, "high": None}
    measure = registry.load("measure", "rows")(rows, facts)
    return lambda asked: [measure.score(one.row, one.answer) for one in asked]


def _of_format(pattern: str) -> Reward:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise UsageError(f"the reward format {pattern!r} is no regular expression: {error}") from None
    return lambda asked: [float(compiled.fullmatch(one.answer) is not None) for one in asked]


def _of_length(limit: int) -> Reward:
    """0 up to `limit` characters, falling to -1 at twice as many."""
    return lambda asked: [-min(1.0, max(0.0, len(one.answer) / limit - 1.0)) for one in asked]


def _from_file(path: Path, rows: Sequence[Mapping[str, Any]]) -> Reward:
    """`reward(expected, actual)` of a Python file; a fault in it is named by file and line."""
    if not path.is_file():
        raise NotFound(f"{path} does not exist", hint=f"write it: {_SHAPE}")
    module = ModuleType("evo_reward_file")
    module.__file__ = str(path)
    try:
        exec(compile(path.read_bytes(), str(path), "exec"), vars(module))  # the text itself, and no bytecode beside it
    except SyntaxError as error:
        raise FileFormatError(path, error.msg, line=error.lineno, hint=f"wanted: {_SHAPE}") from None
    function = vars(module).get("reward")
    if not callable(function):
        raise FileFormatError(path, "defines no function `reward`", field="reward", hint=f"write {_SHAPE}")

    def rewards(asked: Sequence[Asked]) -> list[object]:
        return [_called(function, path, target_of(rows[one.row]), one) for one in asked]

    return rewards


def _called(function: Callable[[str, str], object], path: Path, expected: str, asked: Asked) -> object:
    try:
        return function(expected, asked.answer)
    except Exception as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        place = f"{path}, line {lines[-1]}" if lines else str(path)
        what = f"{place} raised {type(error).__name__} for train row {asked.row + 1}: {error}"
        raise RunFailed(what, hint=f"the completion was {asked.answer[:200]!r}") from error


class RewardModel:
    """The first logit of a sequence classifier that reads question and answer, in its own chat template."""

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise NotFound(f"the reward model {folder} is no folder", hint="name a folder with a sequence classifier")
        self._device = f"cuda:{torch.cuda.current_device()}" if torch.cuda.is_available() else "cpu"
        self._tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="right")
        model = AutoModelForSequenceClassification.from_pretrained(folder, use_safetensors=True)
        if self._tokenizer.pad_token_id is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token
        model.config.pad_token_id = self._tokenizer.pad_token_id  # where it is unset, the last token read is padding
        self._model = model.to(self._device).eval()

    def __call__(self, asked: Sequence[Asked]) -> list[float]:
        texts = [self._conversation(one) for one in asked]
        found: list[float] = []
        for start in range(0, len(texts), _AT_ONCE):
            batch = self._tokenizer(
                texts[start : start + _AT_ONCE], padding=True, add_special_tokens=False, return_tensors="pt"
            )
            with torch.inference_mode():
                logits_B_L = self._model(**batch.to(self._device)).logits
            found += logits_B_L[:, 0].float().tolist()
        return found

    def _conversation(self, asked: Asked) -> str:
        turns = [*asked.prompt, {"role": "assistant", "content": asked.answer}]
        if self._tokenizer.chat_template:
            return str(self._tokenizer.apply_chat_template(turns, tokenize=False))
        return "\n".join(turn["content"] for turn in turns)


def _turns(prompt: Any) -> list[dict[str, str]]:
    return [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt)


def _text(completion: Any) -> str:
    return completion if isinstance(completion, str) else str(completion[-1]["content"] or "")
