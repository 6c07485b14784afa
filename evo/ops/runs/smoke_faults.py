"""What a finished smoke run has left in its folder, read as facts for `evo.diagnose.trial` to judge.

Invariant: reading only; a file that is not there or not readable says nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from evo.data.reader import read_items, read_rows
from evo.diagnose import trial
from evo.diagnose.trial import End, Fault, Marks, TokenizerFacts
from evo.domain.experiment import ROOT
from evo.domain.item import ItemResult
from evo.domain.job import AttemptFolder, Result
from evo.domain.score import per_item
from evo.errors import EvoError
from evo.evaluate import soundness
from evo.lightdata import dataclass
from evo.ops.judging.judge import Judge, read_results
from evo.runner import records
from evo.runner.metrics import read_metrics
from evo.session import Session
from evo.store import results
from evo.workspace.pin import own_template


@dataclass(frozen=True)
class Place:
    """Where one trial happens: the folder of its run, and its own few rows and items beside it."""

    root: Path

    @property
    def folder(self) -> AttemptFolder:
        return AttemptFolder(self.root / "run")

    @property
    def rows(self) -> Path:
        return self.root / "rows.jsonl"

    @property
    def items(self) -> Path:
        return self.root / "items.jsonl"


def marks_of(session: Session, judge: Judge, place: Place) -> Marks:
    """The trial's scores on its few items beside the baseline's, where it has been scored."""
    graded: list[ItemResult] = []
    if place.folder.eval_summary.is_file():
        _, graded = read_results(place.folder.eval_dir)
    ours = per_item(graded)
    base = results.item_means(session.db, ROOT, eval_hash=judge.eval_hash)
    shared = {item: base[item] for item in ours if item in base}
    metric = session.metric
    worst = metric.low if metric.direction == "max" else metric.high
    return Marks(ours, shared, [result.output for result in graded], worst)


def faults_of(judge: Judge, place: Place, result: Result, marks: Marks) -> list[Fault]:
    """What the metrics, the data and the output show comes before how it ended: it is mostly the cause."""
    rows = read_metrics(place.folder.metrics)
    found = [*trial.of_losses(rows), *trial.of_rewards(rows), *rendering_faults(judge, place), *page_faults(place)]
    try:
        found += output_faults(judge, place.folder.output)
    except EvoError as error:
        found.append(Fault("evaluation", error.message, error.hint))
    found += trial.of_ending(End(result.outcome, result.stage, result.failure, result.message))
    return found + trial.of_marks(marks)


def rendering_faults(judge: Judge, place: Place) -> list[Fault]:
    """Training rows that carry a chat template of their own."""
    if not place.rows.is_file():
        return []
    texts = [text for row in read_rows(place.rows) for text in texts_of(row.data)]
    asked = [item.question for item in read_items(place.items, needs_target=False)]
    markers = soundness.special_tokens(Path(judge.base_model)) if judge.base_model else []
    return trial.of_rendering(texts, asked, markers=markers)


def page_faults(place: Place) -> list[Fault]:
    """A page that renders its rows by itself; known where it trains with what `evo.recipe.training` gives it."""
    seen = records.read_record(str(place.folder.traces / "rendered.json")) or {}
    read, asked = seen.get("read"), seen.get("asked")
    if not isinstance(read, list) or not isinstance(asked, list):
        return []
    return trial.of_prompts(map(str, read), map(str, asked))


def texts_of(value: object) -> Iterator[str]:
    """Every string of a row, however deep it lies in messages and pairs."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for entry in value.values():
            yield from texts_of(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from texts_of(entry)


def output_faults(judge: Judge, output: Path) -> list[Fault]:
    """Broken numbers, another precision, another tokenizer than the base model's."""
    if judge.base_model is None or not output.is_dir() or not any(output.iterdir()):
        return []
    base = Path(judge.base_model)
    own, legal = soundness.stored_dtypes(output), soundness.legal_dtypes(base)
    found = trial.of_weights(broken=soundness.broken_tensor(output), own=own, base=legal)
    return found + trial.of_tokenizer(tokenizer_of(output), tokenizer_of(base), template=judge.pinned.chat_template)


def tokenizer_of(folder: Path) -> TokenizerFacts:
    return TokenizerFacts(own_template(folder), soundness.vocabulary_of(folder), soundness.named_tokens(folder))
