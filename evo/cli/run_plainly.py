"""A plain `evo run EXP`: no parser is built, and most of evo is imported while the run's supervisor starts."""

from __future__ import annotations

from importlib import import_module

from evo.domain.experiment import parse_experiment_id
from evo.domain.views import Reply
from evo.ops.runs.head_start import head_start
from evo.session import open_session


def run_plainly(experiment: str) -> Reply:
    identifier = parse_experiment_id(experiment)
    with open_session() as session, head_start(session, identifier):
        running = import_module("evo.cli.running")
        reply: Reply = running.run_in(session, running.ops.RunRequest(identifier))
        return reply
