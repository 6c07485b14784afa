"""What can be told of an experiment before it costs anything: its words, its place, what it asks of the machine (A35).

Leakage is looked for apart (`checks.leaks`). Invariant: nothing here stops a run, and where nothing is amiss nothing is
written, so a plain `evo new` pays microseconds.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator

from evo.config import RecipeConfig
from evo.diagnose.emptiness import emptiness
from evo.domain.experiment import ROOT, Experiment
from evo.domain.finding import Finding, Severity
from evo.runner.leases import visible_gpus
from evo.session import Session
from evo.store import attempts, experiments, findings, guards, meta

SOURCE = "plan"
PARTIAL = ("--limit", "--max-samples", "--max_samples", "--num-samples", "--num_samples", "--subset", "--sample-id")
"""Options of evaluation tools that leave items out."""


def before_run(session: Session, experiment: Experiment, recipe: RecipeConfig) -> tuple[str, ...]:
    """The plan once more, as its words and recipe are now, and whom it has to wait for. The baseline has no plan."""
    if experiment.id == ROOT:
        return ()
    return (*before(session, experiment, recipe), *waiting(session, experiment.id))


def before(session: Session, experiment: Experiment, recipe: RecipeConfig) -> tuple[str, ...]:
    """Look at the plan and store what was found; what is a warning, in words."""
    found = [*of_words(session, experiment), *of_evaluation(session, experiment), *of_machine(experiment, recipe)]
    known = {(one.finding.kind, one.finding.message) for one in findings.of(session.db, experiment.id, source=SOURCE)}
    if {(one.kind, one.message) for one in found} != known:
        findings.replace(session.db, SOURCE, found, experiment=experiment.id)
    return tuple(one.message for one in found if one.severity == "warn")


def waiting(session: Session, identifier: str) -> tuple[str, ...]:
    """Who is at work already, where this run has to wait for a turn."""
    live = [one.experiment for one in attempts.live(session.db) if one.state in ("queued", "running")]
    others = [name for name in live if name != identifier]
    slots = session.config.run.slots
    if len(others) < slots:
        return ()
    return (f"{identifier} waits for its turn: {', '.join(others[:5])} at work, run.slots is {slots}",)


def _finding(kind: str, severity: Severity, message: str, next_: str = "", **evidence: object) -> Finding:
    return Finding(SOURCE, kind, severity, message, evidence, next_)


def of_words(session: Session, experiment: Experiment) -> Iterator[Finding]:
    """A hypothesis that could stand on any experiment, or that stands on another one."""
    empty = emptiness(experiment.hypothesis)
    if empty:
        severity: Severity = "warn" if empty.says_nothing else "note"
        yield _finding("generic_hypothesis", severity, f"the hypothesis {empty.why}")
    twin = experiments.with_hypothesis(session.db, experiment.hypothesis, before=experiment.id)
    if twin is not None:
        said = f"the hypothesis is word for word that of {twin}: what is different this time?"
        yield _finding("same_hypothesis", "note", said, f"evo diff {experiment.id} --against {twin}", twin=twin)


def of_evaluation(session: Session, experiment: Experiment) -> Iterator[Finding]:
    """An evaluation of a part of the items, and a model that nothing tries to serve."""
    cut = partial_option(_words(session.config.eval.command))
    if cut:
        said = f"eval.command has {cut}: what it measures on a part of the items is no score"
        yield _finding("subset", "warn", said, "evo config show", option=cut)
    has_model = meta.get(session.db, "model_path") is not None
    if has_model and not session.config.gate.checks and not guards.checks_of(session.db, experiment.id):
        said = "no check loads or serves the model before the held-out question"
        yield _finding("no_check", "note", said, "evo config set gate.checks 'COMMAND {model}'")


def partial_option(words: list[str]) -> str:
    """`--limit 8`, where there is such an option with a number of items; empty where there is none, or it says all."""
    for place, word in enumerate(words):
        name, _, value = word.partition("=")
        value = value or " ".join(words[place + 1 : place + 2])
        if name in PARTIAL and value not in ("-1", "0", "none", "None", ""):
            return f"{name} {value}"
    return ""


def _words(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError:
        return command.split()


def of_machine(experiment: Experiment, recipe: RecipeConfig) -> Iterator[Finding]:
    """More GPUs than this machine shows a run."""
    wanted = recipe.resources.gpus
    if wanted and (have := len(visible_gpus(os.environ))) < wanted:
        said = f"the recipe asks for {wanted} GPU{'s' * (wanted > 1)}, and {have} can be seen here"
        yield _finding("gpus", "warn", said, f"evo recipe check {experiment.recipe}", wanted=wanted, visible=have)
