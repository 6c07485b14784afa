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

from evo.domain.publish_views import PushView
from evo.errors import Denied, Refused, UsageError
from evo.files import write_text
from evo.lightdata import dataclass
from evo.ops.card import certificate_of, facts_of
from evo.ops.export import Form, scored_weights, write
from evo.ops.progress import OnTick, Tick, silent
from evo.publish import hub
from evo.publish.card import is_certified, model_card
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
    identifier, settings = request.experiment, session.config.hub
    refuse_uncertified(session, request)
    repo = request.repo or settings.repo
    if not repo:
        raise UsageError("no repository was named", hint="--repo OWNER/NAME, or evo config set hub.repo OWNER/NAME")
    account = hub.account_of(repo, os.environ)
    is_private = settings.private if request.private is None else request.private
    weights = scored_weights(session, identifier)
    certified = is_certified(certificate_of(session, identifier))
    session.layout.cache.mkdir(parents=True, exist_ok=True)
    place = Path(mkdtemp(dir=session.layout.cache, prefix="push-"))
    try:
        made = write(session, weights, place / "model", form=Form(merge=request.merge, is_public=True), on_tick=on_tick)
        write_text(place / "model" / "README.md", model_card(facts_of(session, identifier, kind=made.kind)))
        began = time.monotonic()
        on_tick(Tick(identifier, weights.run.n, "pushing", time.monotonic() - began))
        said = f"{identifier} ({'certified' if certified else 'UNCERTIFIED'})"
        pushed = hub.push(place / "model", account, is_private=is_private, message=said)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    told = {"repo": repo, "commit": pushed.commit, "certified": certified, "exported": made.exported_hash}
    events.append(session.db, "pushed", experiment=identifier, attempt=weights.run.n, data=told)
    view = PushView(
        identifier, repo, pushed.url, pushed.commit, is_private, certified, made.kind, made.bytes,
        sorted([*made.files, "README.md"]),
    )  # fmt: skip
    return view, warnings_of(view, base=made.base)


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


def warnings_of(view: PushView, *, base: str | None) -> tuple[str, ...]:
    found = [] if view.certified else [f"{view.id} is not certified, and its card says so"]
    if view.kind == "adapter" and base is not None and "/" not in base:
        found.append(f"the adapter sits on {base}, a folder of yours that nobody else has: --merge pushes full weights")
    return tuple(found)
