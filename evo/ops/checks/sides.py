"""Training examples beside evaluation prompts, both rendered for real, and training answers put through the scorer.

Invariant: read-only, from what the attempts were really given: their data, and their evaluation's pinned job. Files
are read to a bound.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from evo.data.reader import read_items
from evo.diagnose import forms
from evo.domain.diagnose_views import PromptView, SidesView, TrainingExampleView
from evo.domain.experiment import ROOT, Experiment
from evo.domain.item import Item, ItemError, ItemResult, parse_item
from evo.domain.job import AttemptFolder, EvalJob
from evo.errors import EvoError, MissingExtra, RunFailed
from evo.evaluate.generation import generation_of
from evo.evaluate.grading import Grader, InvalidResults, Names, build_scorer
from evo.files import read_json
from evo.session import Session
from evo.store import experiments, results
from evo.validation import restore

SHOWN = 3
MOST_SCORED = 200
MOST_CHARACTERS = 1500
"""Of one rendered text: its beginning and its end are shown, where the answer is."""


class Example(NamedTuple):
    """A training row that asks and answers; `experiment` was trained on it."""

    experiment: str
    file: str
    line: int
    item: Item
    answer: str


def sides(session: Session, identifiers: Sequence[str]) -> SidesView | None:
    """Of experiments that have been scored; None where none of them has left its evaluation's job."""
    known = [experiments.get(session.db, identifier) for identifier in identifiers]
    placed = [(one, folder) for one in known if (folder := folder_of(session, one)) is not None]
    if not placed:
        return None
    first, folder = placed[0]
    job = restore(EvalJob, read_json(folder.eval_job))
    dev = read_items(Path(job.items), needs_target=False)
    examples = distinct(
        [list(examples_of(one, place, own=session.layout.data / "train.jsonl")) for one, place in placed]
    )
    outputs = graded(session, first)
    problem = ""
    try:
        prompter = None if job.backend == "command" else prompter_of(job)
    except EvoError as error:
        prompter, problem = None, error.message
    prompts = [prompt_view(item, prompter, outputs.get(item.id)) for item in dev[:SHOWN]]
    targets = [item.target for item in dev if item.target is not None]
    marks, said = scores_of(job, examples, targets, dev)
    evidence = forms.Evidence(
        training=forms.forms_in(example.answer for example in examples),
        asked=forms.asked_for([prompt.text for prompt in prompts]),
        right_outputs=forms.forms_in(one.output or "" for one in outputs.values() if one.score == best_of(job)),
        scored=None if marks is None else len(marks),
        right=0 if marks is None else sum(mark == best_of(job) for mark in marks),
    )
    return SidesView(
        training=[
            training_view(example, prompter, None if marks is None else marks[place])
            for place, example in enumerate(examples[:SHOWN])
        ],
        evaluation=prompts,
        forms=forms_view(evidence, targets),
        scored=evidence.scored,
        right=evidence.right,
        verdict=forms.verdict(evidence),
        problem=problem or said,
    )


def folder_of(session: Session, experiment: Experiment) -> AttemptFolder | None:
    if experiment.primary_attempt is None:
        return None
    folder = session.layout.attempt(experiment.id, experiment.primary_attempt)
    return folder if folder.eval_job.is_file() and folder.job.is_file() else None


def graded(session: Session, experiment: Experiment) -> dict[str, ItemResult]:
    """Dev item -> its first sample."""
    if experiment.primary_attempt is None or experiment.epoch is None:
        return {}
    found: dict[str, ItemResult] = {}
    for result in results.items(session.db, experiment.id, n=experiment.primary_attempt, eval_hash=experiment.epoch):
        found.setdefault(result.item, result)
    return found


def examples_of(experiment: Experiment, folder: AttemptFolder, *, own: Path) -> Iterator[Example]:
    """The first rows of its data that hold an answer: a target, an assistant's last turn, or the chosen of a pair.

    `own`: the workspace's training file, which stands for the data of the baseline.
    """
    path = str(own) if experiment.id == ROOT else read_json(folder.job)["run"]["data"].get("train")
    if path is None or not Path(path).is_file():
        return
    with Path(path).open(encoding="utf-8", errors="replace") as file:
        for line, text in enumerate(itertools.islice(file, MOST_SCORED), 1):
            if (item := item_of(text)) is not None and item.target is not None:
                yield Example(experiment.id, path, line, item, item.target)


def item_of(text: str) -> Item | None:
    try:
        row = json.loads(text)
        if isinstance(row, dict) and "chosen" in row:
            row = {"prompt": row.get("prompt"), "target": row["chosen"]}
        return parse_item(row, needs_target=True)
    except (ValueError, ItemError):
        return None


def distinct(examples: Sequence[Sequence[Example]]) -> list[Example]:
    """By turns from each experiment, no row twice: the first three are of as many experiments as there are."""
    rows: dict[tuple[str, int], Example] = {}
    for example in itertools.chain.from_iterable(itertools.zip_longest(*examples)):
        if example is not None:
            rows.setdefault((example.file, example.line), example)
    return list(rows.values())[:MOST_SCORED]


def prompter_of(job: EvalJob) -> Any:
    """Renders by the pinned template and tokenizer; 2 s to load."""
    try:
        prompts: Any = import_module("evo.evaluate.prompts")
    except ImportError:
        raise MissingExtra("transformers", "train") from None
    return prompts.Prompter(job, generation_of(job.generation))


def rendered(prompter: Any, item: Item, *, answer: str | None = None) -> str:
    """As the model reads it; plain where nothing renders, and said so where the template refuses it."""
    plain = "\n".join([item.question, *([answer] if answer is not None else [])])
    if prompter is None:
        return shortened(plain)
    try:
        return shortened(prompter.rendered(item, answer=answer))
    except RunFailed:
        return shortened(f"(the chat template refuses this one) {plain}")


def prompt_view(item: Item, prompter: Any, result: ItemResult | None) -> PromptView:
    output = None if result is None else shortened(result.output or "")
    return PromptView(item.id, rendered(prompter, item), item.target, output, None if result is None else result.score)


def training_view(example: Example, prompter: Any, score: float | None) -> TrainingExampleView:
    where = (example.experiment, example.file, example.line)
    text = rendered(prompter, example.item, answer=example.answer)
    return TrainingExampleView(*where, text, shortened(example.answer), score)


def scores_of(
    job: EvalJob, examples: Sequence[Example], targets: Sequence[str], dev: list[Item]
) -> tuple[list[float] | None, str]:
    """What the workspace's own scorer says of each training answer as an output; None and why, where it cannot.

    An answer that the scorer cannot compare, such as one that is not among the legal ones, is as bad as there is.
    """
    if job.backend == "command":
        return None, "a command grades: training answers cannot be put through it one by one"
    if not examples:
        return None, "no training row holds an answer"
    items = [Item(one.item.id, one.item.messages, forms.expected_of(one.answer, targets)) for one in examples]
    try:
        grader = Grader(job, items, scorer=build_scorer(job, dev), names=Names(job, items, called="training"))
        return [score_of(grader, item, one.answer) for item, one in zip(items, examples, strict=True)], ""
    except EvoError as error:
        return None, error.message


def score_of(grader: Grader, item: Item, answer: str) -> float:
    try:
        return grader.grade(item, 0, answer).score
    except InvalidResults:
        return -math.inf


def best_of(job: EvalJob) -> float:
    edge = job.high if job.direction == "max" else job.low
    return 1.0 if edge is None else edge


def forms_view(evidence: forms.Evidence, targets: Sequence[str]) -> dict[str, list[str]]:
    def words(counts: Sequence[forms.FormCount]) -> list[str]:
        return [f"{count.name}, {count.count} of {count.of}" for count in counts[:3]]

    return {
        "training answers": words(evidence.training),
        "dev targets": words(forms.forms_in(targets)),
        "prompts ask for": list(evidence.asked),
        "right outputs": words(evidence.right_outputs),
    }


def shortened(text: str) -> str:
    if len(text) <= MOST_CHARACTERS:
        return text
    half = MOST_CHARACTERS // 2
    return f"{text[:half]} … {text[-half:]}"
