"""What `evo run` begins before most of evo is imported: the supervisor of a run that is likely to come.

Invariant: it has no attempt and no folder yet, writes nothing, and ends unused where the run takes another way.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from evo.evaluate.light import light_module
from evo.runner.executors.local import ahead
from evo.session import Session
from evo.store import nodes


@contextmanager
def head_start(session: Session, identifier: str) -> Iterator[None]:
    """Within the block a local run of the experiment finds its supervisor started, or starting."""
    if session.config.run.executor != "local" or not nodes.awaits_score(session.db, identifier):
        yield
        return
    with ahead(light_module(session.config.eval.backend)):
        yield
