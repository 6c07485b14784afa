"""`evo diagnose --format`: is it knowledge that the base model lacks, or only the form of the answer?

The same dev items are put to the base model as evaluation puts them, and with a few training examples before the
question. Invariant: a scratch evaluation, never a score; what it found is kept as one finding.
"""

from __future__ import annotations

import itertools
import math
import random
import statistics
from collections.abc import Sequence

from evo.data.reader import read_items
from evo.diagnose.tree import of_format
from evo.domain.diagnose_views import FormatView
from evo.domain.finding import Finding
from evo.domain.item import Item
from evo.domain.job import AttemptFolder
from evo.domain.score import per_item
from evo.errors import NotFound, Refused
from evo.files import sha256_text, write_jsonl
from evo.gate.tails import normal_quantile
from evo.ops.checks.diagnose import SHOTS, refresh
from evo.ops.checks.sides import item_of
from evo.ops.judging.judge import base_model, eval_job, evaluate, pinned_items, present_judge
from evo.ops.progress import OnTick, Tick, silent
from evo.session import Session
from evo.store import findings

MOST_ROWS = 2000
"""Training rows that examples are drawn from: the first ones."""
ZERO, FEW = "zero-shot", "few-shot"


def measure_format(session: Session, *, shots: int, items: int, on_tick: OnTick = silent) -> FormatView:
    """Zero-shot against `shots` examples, on `items` dev items, paired; the finding that it leaves is in the view."""
    judge, model = present_judge(session), base_model(session)
    if session.config.eval.backend == "command" or model is None:
        raise Refused(
            "a command asks the questions here: evo cannot put examples before them",
            hint="let the command itself compare zero-shot with few-shot",
        )
    dev = read_items(pinned_items(session, "dev"), needs_target=True)
    asked = sorted(
        random.Random(session.config.splits.seed).sample(dev, min(items, len(dev))), key=lambda item: item.id
    )
    examples = examples_for(session, asked, shots)
    out = session.layout.cache / "scratch" / sha256_text(f"format {shots} {items}")[:12]
    path, place = out / "items.jsonl", AttemptFolder(out / "run")
    rows = [row_of(item, given) for given in ([], examples) for item in asked]
    write_jsonl(path, rows)
    job = eval_job(session, judge, split="dev", model=model, out_dir=place.eval_dir, items=path)
    _, graded = evaluate(session, job, folder=place, beat=lambda s: on_tick(Tick("format", 0, "evaluating", s)))
    means = per_item(graded)
    zero = [means[f"{ZERO} {item.id}"] for item in asked]
    few = [means[f"{FEW} {item.id}"] for item in asked]
    return kept(session, zero, few, shots=shots)


def examples_for(session: Session, asked: Sequence[Item], shots: int) -> list[Item]:
    """Training rows with answers, other questions than those that are asked; drawn by the workspace's seed."""
    path = session.layout.data / "train.jsonl"
    if not path.is_file():
        raise NotFound(f"{path} does not exist: there are no examples to show", hint="put training rows there")
    questions = {" ".join(item.question.split()) for item in asked}
    with path.open(encoding="utf-8", errors="replace") as file:
        rows = [item for text in itertools.islice(file, MOST_ROWS) if (item := item_of(text)) is not None]
    rows = [item for item in rows if " ".join(item.question.split()) not in questions]
    if len(rows) < shots:
        raise Refused(f"{path} has {len(rows)} rows that ask and answer, and {shots} are to be shown", hint="--shots 1")
    return random.Random(session.config.splits.seed).sample(rows, shots)


def row_of(item: Item, examples: Sequence[Item]) -> dict[str, object]:
    """The item with the examples as turns before its question, behind its system prompt."""
    system = [message for message in item.messages if message[0] == "system"]
    turns = [
        turn
        for example in examples
        for turn in (*(m for m in example.messages if m[0] != "system"), ("assistant", example.target or ""))
    ]
    own = [message for message in item.messages if message[0] != "system"]
    spoken = [*system, *turns, *own, ("assistant", item.target or "")]
    return {
        "id": f"{FEW if examples else ZERO} {item.id}",
        "messages": [{"role": role, "content": content} for role, content in spoken],
    }


def kept(session: Session, zero: Sequence[float], few: Sequence[float], *, shots: int) -> FormatView:
    """The comparison, stored as the one finding of its source."""
    differences = [b - a for a, b in zip(zero, few, strict=True)]
    n, delta = len(differences), statistics.fmean(differences)
    spread = statistics.variance(differences) if n > 1 else 1.0
    reach = normal_quantile(0.975) * math.sqrt(max(spread, 1 / n) / n)
    said: Finding = of_format(
        {
            "zero_shot": statistics.fmean(zero), "few_shot": statistics.fmean(few), "delta": delta,
            "low": delta - reach, "high": delta + reach, "n": n, "shots": shots,
        },
        sign=session.metric.sign,
    )  # fmt: skip
    findings.replace(session.db, SHOTS, [], experiment=None)
    findings.replace(session.db, SHOTS, [said], experiment=None)
    refresh(session)
    return FormatView(**said.evidence, message=said.message, next=said.next)
