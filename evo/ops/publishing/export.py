"""`evo export`: an experiment's weights as a folder that anybody can load.

Invariant: what is exported are the weights that were scored (those of its lowest seed), checked by hash before and
after, with the tokenizer, prompt template and config that they were scored with. The folder appears whole or not at
all.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module, metadata
from pathlib import Path
from typing import NamedTuple

from evo.domain.attempt import Attempt
from evo.domain.experiment import ROOT
from evo.domain.publish_views import ExportView
from evo.errors import Refused
from evo.evaluate.weights import ADAPTER_CONFIG, is_adapter, read_header, weight_files, weights_hash
from evo.files import read_json, sha256_file, write_json, write_text
from evo.lightdata import dataclass
from evo.ops.judging.heldout import output_of
from evo.ops.judging.judge import base_model
from evo.ops.progress import OnTick, Tick, silent
from evo.publish import folder
from evo.publish.folder import Source
from evo.registry import needing
from evo.session import Session
from evo.store import attempts, experiments, meta
from evo.workspace.pin import TOKENIZER_FILES, chat_template

SCHEMA = "evo-export/1"
TEMPLATE = "chat_template.jinja"
RECORD = "evo.json"
_NAMES = {"F32": "float32", "BF16": "bfloat16", "F16": "float16"}
_CONFIGS = ("config.json", "generation_config.json")


@dataclass(frozen=True)
class Scored:
    """Weights that have a score: their attempt, where they lie, and the base model's folder if there is one."""

    run: Attempt
    folder: Path
    base: Path | None

    @property
    def kind(self) -> str:
        if self.base is None:
            return "files"
        return "adapter" if is_adapter(self.folder) else "full"


@dataclass(frozen=True)
class Form:
    """`merge`: an adapter is folded into its base. `is_public`: no path of this machine is in what is written."""

    merge: bool = False
    is_public: bool = False


def scored_weights(session: Session, identifier: str) -> Scored:
    """Refused where there are none, or where they are not those that were scored."""
    experiment = experiments.get(session.db, identifier)
    if experiment.primary_attempt is None:
        raise Refused(f"{identifier} has no score yet", hint=f"evo run {identifier}")
    run = attempts.get(session.db, identifier, experiment.primary_attempt)
    place = output_of(session, run)
    if not place.is_dir():
        raise Refused(f"the weights of {identifier} are gone: {place}", hint="evo fsck")
    if weights_hash(place) != run.weights_hash:
        raise Refused(f"the weights of {identifier} are not those that were scored", hint="evo fsck")
    return Scored(run, place, base_model(session))


def export(session: Session, identifier: str, *, to: Path, merge: bool = False, on_tick: OnTick = silent) -> ExportView:
    """Write the weights of `identifier` to the new folder `to`."""
    target = to.expanduser().absolute()
    folder.refuse_target(target)
    if target.resolve().is_relative_to(session.layout.hidden.resolve()):
        raise Refused(f"{to} lies in .evo, which is evo's own", hint="name a folder outside")
    return write(session, scored_weights(session, identifier), target, form=Form(merge=merge), on_tick=on_tick)


def write(session: Session, weights: Scored, target: Path, *, form: Form, on_tick: OnTick) -> ExportView:
    """The export itself."""
    kind = kind_of(weights, merge=form.merge)
    from_run, from_base, needed = sources_of(weights, kind)
    folder.refuse_full_disk(target, folder.size_of(needed))
    is_base = weights.run.experiment == ROOT  # the user's own folder; a hub cache consists of links
    with folder.draft_of(target) as draft, ticking(weights.run, on_tick) as tick:
        if kind == "merged":
            fold(weights, draft)
        else:
            folder.copy(from_run, draft, on_bytes=tick, follow=is_base)
        folder.copy(from_base, draft, follow=True)
        exported = weights_hash(draft)
        if kind != "merged" and exported != weights.run.weights_hash:
            raise Refused(f"the weights of {weights.run.experiment} changed while they were copied", hint="evo fsck")
        if weights.base is not None:
            write_template(session, weights.base, draft)
            name_precision(draft)
            name_base(draft, source=base_source(session, is_public=form.is_public))
        return write_record(session, weights, target, draft=draft, view=(kind, exported), form=form)


def weights_in(place: Path) -> list[Source]:
    return [Source(path, path.name) for path in weight_files(place)]


def kind_of(weights: Scored, *, merge: bool) -> str:
    """`merged` where an adapter is to be folded into its base, else the weights' own kind."""
    return "merged" if merge and weights.kind == "adapter" else weights.kind


class Sources(NamedTuple):
    """What is copied from the run, and from the base model; `needed`: all whose size the disk must hold."""

    from_run: list[Source]
    from_base: list[Source]
    needed: list[Source]


def sources_of(weights: Scored, kind: str) -> Sources:
    from_run, from_base = files_of(weights, kind)
    folded = weights_in(weights.base) if kind == "merged" and weights.base else []
    return Sources(from_run, from_base, [*from_run, *from_base, *folded])


def files_of(weights: Scored, kind: str) -> tuple[list[Source], list[Source]]:
    """What is copied from the run, and from the base model: the architecture and tokenizer that it was scored with."""
    place, base = weights.folder, weights.base
    if base is None:
        return folder.regular_files(place, follow=False), []
    extra = ADAPTER_CONFIG if kind == "adapter" else "model.safetensors.index.json"
    own = [*weights_in(place), *([Source(place / extra, extra)] if (place / extra).is_file() else [])]
    names = TOKENIZER_FILES if kind in ("adapter", "merged") else (*_CONFIGS, *TOKENIZER_FILES)
    shared = [Source(base / name, name) for name in names if (base / name).is_file()]
    return [] if kind == "merged" else own, shared


def fold(weights: Scored, draft: Path) -> None:
    assert weights.base is not None
    with needing("train"):
        merging = import_module("evo.publish.merge")
    merging.merge(weights.folder, weights.base, draft, stored=stored_precision(weights.base))


def stored_precision(place: Path) -> str:
    """The precision of most of the bytes in the safetensors files of `place`, as their headers name it."""
    counted: Counter[str] = Counter()
    for path in weight_files(place):
        for tensor in read_header(path):
            counted[tensor.dtype] += tensor.end - tensor.start
    return counted.most_common(1)[0][0] if counted else ""


def write_template(session: Session, base: Path, draft: Path) -> None:
    """The prompt template that is in force."""
    text = chat_template(session.layout, session.config, model=base)
    if text is not None:
        write_text(draft / TEMPLATE, text)


def name_precision(draft: Path) -> None:
    """A loader goes by the config: it names the precision that the weights have, whatever the base's is."""
    path = draft / "config.json"
    name = _NAMES.get(stored_precision(draft))
    if path.is_file() and name is not None:
        config = {key: value for key, value in read_json(path).items() if key != "torch_dtype"}
        write_json(path, config | {"dtype": name})


def name_base(draft: Path, *, source: str) -> None:
    """An adapter says which model it sits on; what it said itself was true on the machine that trained it."""
    path = draft / ADAPTER_CONFIG
    if path.is_file():
        write_json(path, read_json(path) | {"base_model_name_or_path": source})


def base_source(session: Session, *, is_public: bool) -> str:
    """The base model's hub id, else its folder; in public the folder's name alone."""
    facts = meta.get(session.db, "model_pin", default={})
    source = str(facts.get("source", ""))
    return Path(source).name if is_public and Path(source).is_absolute() else source


def write_record(
    session: Session, weights: Scored, target: Path, *, draft: Path, view: tuple[str, str], form: Form
) -> ExportView:
    """evo.json: what lies here, by hash, and which experiment it was. The view of it."""
    kind, exported = view
    files = folder.regular_files(draft, follow=False)
    experiment = experiments.get(session.db, weights.run.experiment)
    has_base = weights.base is not None
    base = base_source(session, is_public=form.is_public) if has_base else None
    record = {
        "schema": SCHEMA,
        "experiment": experiment.id,
        "kind": kind,
        "weights_sha256": weights.run.weights_hash,
        "exported_sha256": exported,
        "base": base,
        "base_sha256": meta.get(session.db, "model_weights"),
        "epoch": experiment.epoch,
        "commit": experiment.commit,
        "evo": metadata.version("evo-tree"),
        "files": {file.name: sha256_file(file.path) for file in files},
    }
    write_json(draft / RECORD, record)
    return ExportView(
        id=experiment.id,
        to=str(target),
        kind=kind,
        weights_hash=weights.run.weights_hash or "",
        exported_hash=exported,
        base=base,
        dtype=stored_precision(draft) if has_base else "",
        bytes=folder.size_of(files),
        files=[*(file.name for file in files), RECORD],
    )


@contextmanager
def ticking(run: Attempt, on_tick: OnTick) -> Iterator[folder.OnBytes]:
    """Bytes that were copied, as ticks."""
    began = time.monotonic()

    def tell(done: int) -> None:
        on_tick(Tick(run.experiment, run.n, "copying", time.monotonic() - began, {"done": done // 1_000_000}))

    tell(0)
    yield tell
