"""What is kept of how a run trained, once it is over: the end of its metrics, as numbers in the attempt's row.

Invariant: it is the run's own word, shown as such, and never a score. A run that logged nothing has none.
"""

from __future__ import annotations

from evo.diagnose.readings import end_of_training
from evo.domain.job import AttemptFolder
from evo.runner import records
from evo.runner.vitals import tail_rows


def training_summary(folder: AttemptFolder) -> dict[str, float]:
    """From the end of `metrics.jsonl`; `train_score` where the recipe is rewarded by the workspace's own measure."""
    run = (records.read_record(str(folder.job)) or {}).get("run")
    rewards = run.get("rewards") if isinstance(run, dict) else None
    terms = [term for term in rewards if isinstance(term, dict)] if isinstance(rewards, list) else []
    return end_of_training(tail_rows(str(folder.metrics)), terms)
