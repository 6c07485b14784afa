"""The identity of an experiment's weights: what they must come from, and what a look at them has found.

Invariant: the base model that anything is measured with or trained from is the one that was pinned at init, and so are
its tokenizer and config; weights that are not the run's own never get a score (docs/decisions/0011).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evo.domain.experiment import DECLARED, ROOT, Experiment
from evo.domain.finding import Finding
from evo.domain.job import AttemptFolder, Lineage
from evo.errors import Refused
from evo.evaluate import identity
from evo.evaluate.identity import SOURCE, Identity
from evo.files import read_json, sha256_file, sha256_folder
from evo.lightdata import replace
from evo.ops.runs.collect import lies_within, named_artifacts
from evo.ops.runs.launch import start_weights
from evo.session import Session
from evo.store import artifacts, attempts, experiments, findings, lineage, meta
from evo.store.record import Finished
from evo.validation import restore
from evo.workspace.pin import ModelPin, verify_model


def lineage_of(session: Session, experiment: Experiment) -> Lineage | None:
    """What the weights of `experiment` must come from; None for the base model, which is pinned itself."""
    if experiment.id == ROOT:
        return None
    pin = meta.get(session.db, "model_pin")
    if pin is None:
        return Lineage()
    is_declared = experiment.origin == DECLARED
    start, start_hash = (None, "") if is_declared else _start(session, experiment)
    return replace(_from_base(session, pin), start=start, start_hash=start_hash, is_declared=is_declared)


def _from_base(session: Session, pin: dict[str, str]) -> Lineage:
    source = pin["source"]
    return Lineage(
        base=pin["path"],
        base_hash=_scored_hash(session, ROOT),
        base_stamp=pinned_base(session),
        names=[pin["path"], source, source.partition("@")[0], session.config.model.source],
        max_delta=session.config.identity.max_delta,
    )


def elsewhere(session: Session, folder: Path) -> Identity:
    """A checkpoint that was trained elsewhere, where it lies: only what stands against taking it in."""
    pin = meta.get(session.db, "model_pin")
    if pin is None:
        return Identity([])
    found = identity.fits(folder, replace(_from_base(session, pin), is_declared=True))
    return found._replace(findings=[each for each in found.findings if each.severity == "block"])


def _start(session: Session, experiment: Experiment) -> tuple[str | None, str]:
    """Folder and hash of the weights that training started from, where they are others than the base's."""
    origin, label = lineage.start_of(session.db, experiment)
    if origin.id == ROOT and not label:
        return None, ""
    folder = start_weights(session, experiment)
    if folder is None or not folder.is_dir():
        return None, ""
    return str(folder), "" if label else _scored_hash(session, origin.id)


def _scored_hash(session: Session, identifier: str) -> str:
    found = experiments.get(session.db, identifier).primary_attempt
    return "" if found is None else attempts.get(session.db, identifier, found).weights_hash or ""


def pinned_base(session: Session) -> list[list[str | int]]:
    """The stamp of the base model's files, which are those that were pinned. Refused where they are not.

    They are hashed again only when their stamp has changed.
    """
    facts = meta.get(session.db, "model_pin")
    if facts is None:
        return []
    now = [list(entry) for entry in identity.stamp(Path(facts["path"]))]
    if meta.get(session.db, "model_stamp") == now:
        return now
    changed = verify_model(ModelPin(**{**facts, "path": Path(facts["path"])}))
    if changed:
        what = f"the base model at {facts['path']} is not what was pinned: {', '.join(changed)} changed"
        raise Refused(what, hint="bring the pinned files back; another base is another workspace")
    meta.set(session.db, "model_stamp", now)
    return now


def declared_artifact(session: Session, experiment: str, label: str) -> Path:
    """Where an artifact lies. Refused where it is not what was declared."""
    found = artifacts.find(session.db, experiment, label=label)
    place = Path(found.uri)
    now = sha256_folder(place) if found.kind == "folder" else sha256_file(place) if place.is_file() else ""
    if now != found.content_key:
        raise Refused(
            f"artifact {label!r} of {experiment} is not what was declared", hint="start from the experiment itself"
        )
    return place


def found_in(folder: AttemptFolder) -> Identity | None:
    """What the evaluation wrote down before it loaded anything; None where it had nothing to look at."""
    if not folder.eval_identity.is_file():
        return None
    said: dict[str, Any] = read_json(folder.eval_identity)
    return Identity([restore(Finding, entry) for entry in said["findings"]], said["delta"], said["is_unchanged"])


def told(session: Session, folder: AttemptFolder, finished: Finished) -> Finished:
    """`finished` in the light of what was found, which is put into the store in place of what was said before."""
    found = found_in(folder) or Identity([])
    strange = [
        Finding(SOURCE, "artifact", "warn", f"artifact {row.label!r} is not kept: {row.uri} is not the attempt's own")
        for row in named_artifacts(folder)
        if not lies_within(Path(row.uri), folder)
    ]
    all_ = [*found.findings, *strange]
    findings.replace(session.db, SOURCE, all_, experiment=finished.experiment, attempt=finished.n)
    is_refused = finished.outcome == "failed" and bool(found.refusals)
    return replace(
        finished,
        failure=SOURCE if is_refused else finished.failure,
        is_noop=finished.is_noop or found.is_unchanged,
    )


def check(session: Session, identifier: str, n: int | None = None) -> Identity:
    """Look at the weights of an experiment now: those of its primary attempt, or of attempt `n`. Nothing is stored.

    Of the base model, and where there are no weights, there is nothing to find.
    """
    experiment = experiments.get(session.db, identifier)
    told, attempt = lineage_of(session, experiment), n or experiment.primary_attempt
    if told is None or attempt is None:
        return Identity([])
    place = session.layout.attempt(identifier, attempt).output
    stored = attempts.get(session.db, identifier, attempt).weights_hash
    found = identity.check(place, told)
    if stored is None or found.weights_hash in ("", stored):
        return found
    changed = Finding(SOURCE, "changed", "block", f"the weights of {identifier} are not those that were scored")
    return found._replace(findings=[changed, *found.findings])
