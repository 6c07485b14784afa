"""`evo card`: the model card of an experiment, from what the store knows.

Invariant: of held-out the card has certificates and looks; a vault number only after `evo release` gave it for this
experiment. It names no path of this machine; a recipe's parameters are in it as they were given.
"""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

from evo.data import seal
from evo.domain.experiment import DECLARED, ROOT, Experiment
from evo.domain.publish_views import CardView
from evo.domain.views import CertificateView, IntervalView, LooksView, ScoreView, VaultView
from evo.errors import NotFound, Refused
from evo.evidence import unfit
from evo.files import write_text
from evo.gate.noise import sigma_run
from evo.gate.statistics import RunNoise, interval, paired
from evo.ops.judging.judge import generation
from evo.ops.publishing.export import base_source, scored_weights
from evo.publish.card import Ancestor, BaseFact, CardFacts, DataFact, is_certified, model_card
from evo.session import Session
from evo.store import attempts, datasets, experiments, gate_rows, lineage, meta, nodes, results

_HUB_ID = re.compile(r"[\w][\w.-]*/[\w][\w.-]*(@\S+)?", re.ASCII)


def card(session: Session, identifier: str, *, to: Path | None = None) -> CardView:
    """The card; written to the new file `to`, where one is named."""
    if to is not None and to.exists():
        raise Refused(f"{to} exists", hint="name another file, or take it away first")
    weights = scored_weights(session, identifier)
    facts = facts_of(session, identifier, kind=weights.kind)
    text = model_card(facts)
    if to is not None:
        try:
            write_text(to, text)
        except OSError as error:
            raise Refused(f"{to} cannot be written: {error.strerror}") from None
    return CardView(identifier, is_certified(facts.certificate), None if to is None else str(to), text)


def facts_of(session: Session, identifier: str, *, kind: str) -> CardFacts:
    experiment = experiments.get(session.db, identifier)
    run = attempts.get(session.db, identifier, experiment.primary_attempt or 1)
    name = session.config.name or session.layout.root.name
    return CardFacts(
        title=f"{name}: {identifier}",
        experiment=identifier,
        hypothesis=experiment.hypothesis,
        kind=kind,
        recipe=experiment.recipe,
        technique=experiment.technique,
        params=experiment.params,
        seed=run.seed,
        seeds=experiment.seeds,
        weights_hash=run.weights_hash or "",
        line=[ancestor(one) for one in reversed(lineage.weight_line(session.db, identifier))],
        data=data_of(session, identifier),
        metric=session.config.metric.name,
        direction=session.config.metric.direction,
        counted="repeats" if session.config.eval.mode == "scalar" else "dev items",
        score=score_of(experiment),
        delta=delta_to_base(session, experiment),
        experiments=nodes.newest(session.db) + 1,
        certificate=certificate_of(session, identifier),
        looks=LooksView(gate_rows.looks_used(session.db, session.heldout_hash), session.config.gate.looks),
        vault=vault_of(session, identifier),
        measured=measured_by(session, experiment),
        evo_version=metadata.version("evo-tree"),
        base=base_of(session),
        system_prompt=system_prompt(session),
        state=experiment.state,
        state_reason=experiment.state_reason,
        never_certified=why_never(session, experiment),
        tags=[experiment.technique],
    )


def ancestor(experiment: Experiment) -> Ancestor:
    declared = experiment.origin == DECLARED
    return Ancestor(
        experiment.id, experiment.state, experiment.recipe, experiment.hypothesis, score_of(experiment), declared
    )


def score_of(experiment: Experiment) -> ScoreView | None:
    if experiment.score_mean is None:
        return None
    return ScoreView(experiment.score_mean, experiment.score_se or 0.0, experiment.score_n or 0)


def data_of(session: Session, identifier: str) -> list[DataFact]:
    """What each experiment of the line was trained on, the last one first. Paths inside evo's cache are not named."""
    found = []
    for experiment in lineage.weight_line(session.db, identifier):
        for role, one in datasets.of(session.db, experiment.id):
            found.append(DataFact(f"{experiment.id} {role}", one.source, one.lines, one.sha256))
    return found


def delta_to_base(session: Session, experiment: Experiment) -> IntervalView | None:
    """The paired dev difference to exp_0000 in the metric's own units, run noise and clusters taken into account."""
    epoch = experiment.epoch
    if experiment.id == ROOT or epoch is None:
        return None
    ours = results.pooled_means(session.db, experiment.id, eval_hash=epoch)
    base = results.pooled_means(session.db, ROOT, eval_hash=epoch)
    if not base or set(ours) != set(base):
        return None
    groups = {item.id: item.cluster for item in seal.load_split(session.layout.root, "dev")}
    names = [groups.get(item) or f"item {item}" for item in base]
    unit = session.metric.unit
    pair = paired(
        [ours[item] / unit for item in base],
        [value / unit for value in base.values()],
        clusters=names if any(groups.values()) else None,
    )
    sigma = sigma_run(session.config.gate.sigma_run, experiment.technique)
    found = interval(pair, RunNoise(sigma, max(1, experiment.seeds), 1))
    return IntervalView(found.mean * unit, found.low * unit, found.high * unit)


def certificate_of(session: Session, identifier: str) -> CertificateView | None:
    """The newest one; a void one only where no other is left."""
    every = gate_rows.certificates(session.db, identifier)
    found = gate_rows.certificate_of(session.db, identifier) or (every[-1] if every else None)
    if found is None:
        return None
    said = (found.against, found.passed, found.look, found.mode, found.isolation, found.is_void)
    return CertificateView(*said, lineage=lineage.declared(session.db, identifier))


def vault_of(session: Session, identifier: str) -> VaultView | None:
    """The released number, where it is about this experiment."""
    stored = meta.get(session.db, "release")
    return VaultView(**stored["vault"]) if stored is not None and stored["id"] == identifier else None


def why_never(session: Session, experiment: Experiment) -> str:
    if experiment.id == ROOT:
        return "this is the untouched base model, and there is nothing to certify"
    if session.config.eval.mode == "scalar":
        return "the benchmark yields one number a call, which no paired test can certify"
    return unfit(session, experiment)


def measured_by(session: Session, experiment: Experiment) -> dict[str, object]:
    """Settings that the score depends on."""
    config = session.config.eval
    found: dict[str, object] = {"evaluation": config.backend, "eval_hash": experiment.epoch or "none"}
    if config.backend == "command":
        return found | {"command": config.command, "results": config.read if config.mode == "items" else "scalar"}
    settings = {key: value for key, value in generation(config).items() if key != "batch_size" and value != []}
    return found | {"scorer": config.scorer} | settings


def base_of(session: Session) -> BaseFact | None:
    facts = meta.get(session.db, "model_pin")
    if facts is None:
        return None
    source = base_source(session, is_public=True)
    is_on_hub = _HUB_ID.fullmatch(str(facts["source"])) is not None
    return BaseFact(source.partition("@")[0] if is_on_hub else source, str(facts["weights_sha256"]), is_on_hub)


def system_prompt(session: Session) -> str:
    name = session.config.system_prompt
    if not name or session.config.eval.backend == "command":
        return ""
    try:
        return session.layout.inside(name, field="system-prompt").read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        raise NotFound(f"{name} does not exist", hint="evo config set system-prompt FILE") from None
