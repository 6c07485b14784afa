"""The one callback of all pages on TRL's trainers.

Invariant: every rank decides the same, by what rank 0 saw; a checkpoint is evaluated once, and before the next step.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from evo.files import read_json, write_json
from evo.recipe import rendering
from evo.recipe.checkpoints import COMPLETE, Mid
from evo.recipe.ranks import agreed
from evo.recipe.run import Run
from evo.recipe.weights import is_adapter, link, merged

_SAVING_SHARE = 0.02
"""Of the time of a run that nobody evaluates: a checkpoint waits until it costs no more."""
_PASSED = (
    *("loss", "learning_rate", "grad_norm", "epoch", "mean_token_accuracy", "entropy", "kl", "reward", "reward_std"),
    *("rewards/chosen", "rewards/rejected", "rewards/margins", "rewards/accuracies"),
)
_RENAMED = {"completions/mean_length": "completion_length", "completions/clipped_ratio": "truncated"}
_TERM = re.compile(r"rewards/(.+)/mean")


class Progress(TrainerCallback):  # type: ignore[misc]
    """Logs, marks checkpoints complete, has them evaluated, keeps the best, and ends a run that is told to.

    `folder/best` holds the weights of the best checkpoint, `folder/steps/step-N` those of an adapter at every
    evaluated step: others can branch from there.
    """

    def __init__(self, run: Run, *, is_base: bool) -> None:
        self.run = run
        self.is_base = is_base
        self.best = run.folder / "best"
        self.steps = run.folder / "steps"
        self.every, self._end = 0, 0
        self._since = self._saving = self._saved_at = time.monotonic()
        self._save_seconds = 0.0
        self._earlier_tokens = self._seen_tokens = 0

    def take_up(self, checkpoint: Path) -> bool:
        """Make up for what a kill cut off after `checkpoint` was complete; True when the run had ended there."""
        self._earlier_tokens = int((_json(checkpoint / COMPLETE) or {}).get("tokens", 0))
        state = read_json(checkpoint / "trainer_state.json")
        is_told_to_end = self._judge(checkpoint, int(state["global_step"]))
        return is_told_to_end or state["global_step"] >= self._last_step(int(state["max_steps"]))

    def on_train_begin(self, args: Any, state: Any, _control: Any, **others: Any) -> None:
        steps = math.ceil(len(others["train_dataloader"]) / args.gradient_accumulation_steps)
        mid = self.run.mid
        self.every = (mid and mid.every) or max(1, min(math.ceil(steps / 4), 200))
        self._end = self._last_step(state.max_steps)
        self._seen_tokens = state.num_input_tokens_seen
        if state.num_input_tokens_seen:  # the trainer goes on counting
            self._earlier_tokens = 0
        self._since = self._saved_at = time.monotonic()

    def on_step_begin(self, _args: Any, state: Any, _control: Any, **others: Any) -> None:
        if self.run.is_smoke and self.run.is_main and state.global_step == 0:
            rendering.note(self.run, others["train_dataloader"], others["processing_class"])

    def on_step_end(self, _args: Any, state: Any, control: Any, **_others: Any) -> None:
        self._saving = time.monotonic()
        if state.global_step >= self._end or agreed(self.run.should_stop):
            control.should_save = control.should_training_stop = True
        elif state.global_step % self.every == 0:
            is_cheap = self._save_seconds <= _SAVING_SHARE * (self._saving - self._saved_at)
            control.should_save |= self.run.mid is not None or agreed(is_cheap)
        control.should_log |= control.should_save  # so that a second start finds the curve and the tokens up to here

    def on_save(self, _args: Any, state: Any, control: Any, **_others: Any) -> None:
        checkpoint = self.run.checkpoint_dir / f"checkpoint-{state.global_step}"
        agreed(None)  # every rank has written its part
        if self.run.is_main:
            write_json(checkpoint / COMPLETE, {"tokens": self._earlier_tokens + self._seen_tokens})
        self._save_seconds = time.monotonic() - self._saving
        if self._judge(checkpoint, state.global_step):
            control.should_training_stop = True
        self._saved_at = time.monotonic()
        self._since += self._saved_at - self._saving  # that was no training

    def on_log(self, _args: Any, state: Any, _control: Any, **others: Any) -> None:
        logs = others.get("logs")
        if not logs or "loss" not in logs:
            return
        values = _named(logs)
        if "num_tokens" in logs:
            seen, seconds = int(logs["num_tokens"]), time.monotonic() - self._since
            values |= {"tokens": self._earlier_tokens + seen}
            values |= {"tokens_per_second": round((seen - self._seen_tokens) / max(seconds, 1e-9), 1)}
            self._seen_tokens, self._since = seen, time.monotonic()
        if torch.cuda.is_available():
            values["gpu_memory_gb"] = round(torch.cuda.max_memory_reserved() / 2**30, 3)
        self.run.log(step=state.global_step, **values)
        if not math.isfinite(values["loss"]):
            raise RuntimeError(f"the loss is {values['loss']} at step {state.global_step}: lower learning_rate")

    def _last_step(self, max_steps: int) -> int:
        """A partial run ends early on the schedule of the whole one, which goes on from its last checkpoint."""
        return math.ceil(max_steps * (self.run.fidelity or 1.0))

    def _judge(self, checkpoint: Path, step: int) -> bool:
        """Have `checkpoint` evaluated unless it has been, and keep what is to be kept. True when patience is over."""
        if self.run.mid is None or not self.run.has_evaluator:
            return False
        return agreed(self._judged(checkpoint, step, self.run.mid) if self.run.is_main else False)

    def _judged(self, checkpoint: Path, step: int, mid: Mid) -> bool:
        found = {score.step: score for score in self.run.mid_scores}
        weights = checkpoint
        if is_adapter(checkpoint) and not self.is_base:
            weights = merged(self.run, checkpoint, self.run.folder / "merged")
        score = found.get(step) or self.run.mid_eval(weights, step=step)
        if score is None:
            return False
        if score.is_best:
            link(weights, self.best)
        if is_adapter(weights):
            link(weights, self.steps / f"step-{step}")
        history = {**found, step: score}
        if all(one.mean == mid.worst for one in history.values()):
            return False  # nothing is learned yet that could be lost again
        best = max((at for at, one in history.items() if one.is_best), default=-1)
        return sum(at > best for at in history) >= mid.patience


def _named(logs: Mapping[str, Any]) -> dict[str, float]:
    """What a trainer logs, under the names of metrics.jsonl."""
    found = {name: float(logs[name]) for name in _PASSED if name in logs}
    found |= {name: float(logs[old]) for old, name in _RENAMED.items() if old in logs}
    terms = {name: match[1] for name in logs if (match := _TERM.fullmatch(name))}
    return found | {f"rewards/{term}": float(logs[name]) for name, term in terms.items()}


def _json(path: Path) -> dict[str, Any] | None:
    text = path.read_text(encoding="utf-8")
    return json.loads(text) if text.strip() else None
