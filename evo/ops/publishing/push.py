"""`evo push`: an experiment's weights and model card as one commit on the hub.

Invariant: what is not certified leaves only where its owner says so in so many words, and its card says it too. A
contaminated experiment does not leave at all.
"""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from tempfile import mkdtemp
from typing import NamedTuple

from evo.domain.publish_views import PushView
from evo.errors import Denied, Refused, UsageError
from evo.files import write_text
from evo.lightdata import dataclass
from evo.ops.progress import OnTick, Tick, silent
from evo.ops.publishing.card import certificate_of, facts_of
from evo.ops.publishing.export import Form, Scored, base_source, kind_of, scored_weights, sources_of, write
from evo.publish import hub
from evo.publish.card import is_certified, model_card
from evo.publish.folder import refuse_full_disk, size_of
from evo.session import Session
from evo.store import events, experiments


@dataclass(frozen=True)
class PushRequest:
    """`repo`, `private`: None for hub.repo and hub.private of evo.yaml."""

    experiment: str
    repo: str | None = None
    private: bool | None = None
    merge: bool = False
    allow_uncertified: bool = False


def push(session: Session, request: PushRequest, on_tick: OnTick = silent) -> tuple[PushView, tuple[str, ...]]:
    """The commit that was made, and warnings about it."""
    identifier, ready = request.experiment, checked(session, request)
    account, weights, certified = ready.account, ready.weights, ready.certified
    session.layout.cache.mkdir(parents=True, exist_ok=True)
    place = Path(mkdtemp(dir=session.layout.cache, prefix="push-"))
    try:
        made = write(session, weights, place / "model", form=Form(merge=request.merge, is_public=True), on_tick=on_tick)
        write_text(place / "model" / "README.md", model_card(facts_of(session, identifier, kind=made.kind)))
        began = time.monotonic()
        on_tick(Tick(identifier, weights.run.n, "pushing", time.monotonic() - began))
        pushed = hub.push(place / "model", account, is_private=ready.is_private, message=ready.message)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    told = {"repo": account.repo, "commit": pushed.commit, "certified": certified, "exported": made.exported_hash}
    events.append(session.db, "pushed", experiment=identifier, attempt=weights.run.n, data=told)
    view = PushView(
        identifier, account.repo, pushed.url, pushed.commit, ready.is_private, certified, made.kind, made.bytes,
        sorted([*made.files, "README.md"]),
    )  # fmt: skip
    return view, warnings_of(identifier, certified=certified, kind=made.kind, base=made.base)


def rehearse(session: Session, request: PushRequest) -> tuple[list[str], tuple[str, ...]]:
    """What would leave for where, and the warnings. Nobody is asked: whether the hub takes it is not foretold."""
    identifier, ready = request.experiment, checked(session, request)
    kind = kind_of(ready.weights, merge=request.merge)
    sources = sources_of(ready.weights, kind)
    refuse_full_disk(session.layout.cache, size_of(sources.needed))
    who = "private" if ready.is_private else "public"
    merged = ", folded into the base model" if kind == "merged" else ""
    would = [
        f"write {identifier} ({kind}, {size_of(sources.needed) / 1e6:.1f} MB{merged}) and its model card",
        f"push them to {ready.account.repo} ({who} if it is new) as one commit: {ready.message}",
    ]
    base = None if ready.weights.base is None else base_source(session, is_public=True)
    return would, warnings_of(identifier, certified=ready.certified, kind=kind, base=base)


class Checked(NamedTuple):
    """What may be pushed, and where to."""

    account: hub.Account
    is_private: bool
    weights: Scored
    certified: bool

    @property
    def message(self) -> str:
        return f"{self.weights.run.experiment} ({'certified' if self.certified else 'UNCERTIFIED'})"


def checked(session: Session, request: PushRequest) -> Checked:
    """Refused, Denied or UsageError where it may not leave, or nobody said where to."""
    identifier, settings = request.experiment, session.config.hub
    refuse_uncertified(session, request)
    repo = request.repo or settings.repo
    if not repo:
        raise UsageError("no repository was named", hint="--repo OWNER/NAME, or evo config set hub.repo OWNER/NAME")
    account = hub.account_of(repo, os.environ)
    is_private = settings.private if request.private is None else request.private
    weights = scored_weights(session, identifier)
    return Checked(account, is_private, weights, is_certified(certificate_of(session, identifier)))


def refuse_uncertified(session: Session, request: PushRequest) -> None:
    experiment = experiments.get(session.db, request.experiment)
    if experiment.state == "contaminated":
        raise Denied(
            f"{experiment.id} is contaminated: {experiment.state_reason}", hint="it holds evaluation items; branch anew"
        )
    if not request.allow_uncertified and not is_certified(certificate_of(session, experiment.id)):
        raise Refused(
            f"{experiment.id} has no certificate: nothing has shown that it is better than what it comes from",
            hint=f"evo certify {experiment.id}, or --allow-uncertified: its card then says UNCERTIFIED",
        )


def warnings_of(id: str, *, certified: bool, kind: str, base: str | None) -> tuple[str, ...]:
    found = [] if certified else [f"{id} is not certified, and its card says so"]
    if kind == "adapter" and base is not None and "/" not in base:
        found.append(f"the adapter sits on {base}, a folder of yours that nobody else has: --merge pushes full weights")
    return tuple(found)
