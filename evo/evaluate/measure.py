"""What the workspace's measure says of an output on a training row: the reward that `scorer: workspace` means.

Invariant: the number comes out of the grader that evaluations use, so a model is trained on exactly what it is measured
by: stop texts cut, forbidden outputs worst, then the pinned scorer, then the range. Where less is better it is negated.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from evo.domain.item import Item, ItemError, parse_item
from evo.domain.job import EvalJob, ScorerFacts
from evo.errors import RunFailed
from evo.evaluate.grading import Grader, Names, build_scorer
from evo.validation import restore


class RowMeasure:
    def __init__(self, rows: Sequence[Mapping[str, object]], scorer: Mapping[str, object]) -> None:
        """`scorer`: a ScorerFacts as it stands in job.json. UsageError, RunFailed, … where it cannot be built."""
        facts = restore(ScorerFacts, scorer)
        job = _job(facts)
        self._items = list(_items(rows))
        names = Names(job, self._items, called="train")
        self._grader = Grader(job, self._items, scorer=build_scorer(job, self._items), names=names)
        self._stop = facts.stop
        self._sign = 1.0 if facts.direction == "max" else -1.0

    def score(self, row: int, output: str) -> float:
        """Higher is better. InvalidResults names the row."""
        cuts = [output.index(stop) for stop in self._stop if stop in output]
        answer = output[: min(cuts)] if cuts else output
        return self._sign * self._grader.grade(self._items[row], 0, answer).score


def _job(facts: ScorerFacts) -> EvalJob:
    """The part of an evaluation that grading reads."""
    return EvalJob(
        split="mid",
        eval_hash="",
        backend="",
        items="",
        model="",
        base_model=None,
        out_dir="",
        pinned_dir=facts.pinned_dir,
        scorer=facts.name,
        pins=facts.pins,
        scorer_options=facts.options,
        forbidden=facts.forbidden,
        worst=facts.worst,
        low=facts.low,
        high=facts.high,
    )


def _items(rows: Sequence[Mapping[str, object]]) -> Iterator[Item]:
    for number, row in enumerate(rows, start=1):
        try:
            yield parse_item({**row, "target": row["completion"]} if "completion" in row else row)
        except ItemError as error:
            raise RunFailed(f"the train item in line {number} cannot be rewarded: {error.field} {error}") from None
