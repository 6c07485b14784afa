"""The adapter of an iteration, for its commit: what it was stays in git after `evo gc` has taken the weights.

Invariant: the folder holds one adapter, that of the newest iteration that left one; files above what git is given
(10 MB) are left out, and so are full weights: the commit names those by their hash.
"""

from __future__ import annotations

from evo.domain.loop import Pick
from evo.evaluate.weights import ADAPTER_CONFIG
from evo.session import Session
from evo.store import experiments
from evo.workspace.staging import MAX_BYTES

FOLDER = "adapters/loop"
_WEIGHTS = "adapter_model.safetensors"


def keep(session: Session, pick: Pick) -> list[str]:
    """Copy the adapter that the run of `pick` has left into the workspace; what the iteration's commit may hold."""
    if not session.config.loop.snapshot_adapters or pick.outcome != "scored" or pick.experiment is None:
        return []
    attempt = experiments.get(session.db, pick.experiment).primary_attempt
    if attempt is None:
        return []
    output = session.layout.attempt(pick.experiment, attempt).output
    files = [output / name for name in (ADAPTER_CONFIG, _WEIGHTS)]
    if not all(file.is_file() and file.stat().st_size <= MAX_BYTES for file in files):
        return []
    (session.layout.root / FOLDER).mkdir(parents=True, exist_ok=True)
    for file in files:
        (session.layout.root / FOLDER / file.name).write_bytes(file.read_bytes())
    return [f"{FOLDER}/{file.name}" for file in files]
