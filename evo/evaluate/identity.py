"""Whether the weights that a run hands over are its own: trained from the pinned base, by this lineage, in this folder.

Invariant: nothing is loaded or executed, and nothing outside the folder is read in its name. Every finding that is
not `unchanged` refuses: such weights never get a score. What cannot be told from bytes is left to the gate: one bit
that was turned over, or the vendor's own next version of the base model, differ from the base as honest training does.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from evo.domain.finding import Finding, Severity
from evo.domain.job import Lineage
from evo.errors import EvoError, FileFormatError
from evo.evaluate import soundness
from evo.evaluate.deltas import Unmeasurable, Weights, relative_delta
from evo.evaluate.fitting import adapter_misfits, config_differences
from evo.evaluate.weights import (
    ADAPTER_CONFIG,
    adds_zero,
    is_adapter,
    pickled_weights,
    shape_differences,
    strays,
    weight_files,
    weights_hash,
)
from evo.files import read_json

SOURCE = "identity"
UNCHANGED = "unchanged"
LEAST_DELTA = 1e-6
"""Weights in another form or precision that are nearer than this are the same: float32 itself has 6e-8."""
_NAMED = 3
_TELLING = (".safetensors", ".json", ".jinja", ".model", ".txt")


class Identity(NamedTuple):
    """`delta`: relative distance to the weights that training started from, None where it was not measured."""

    findings: list[Finding]
    delta: float | None = None
    is_unchanged: bool = False
    """The weights are those of the base or of the start, in whatever form."""
    weights_hash: str = ""
    """Empty where they were refused unread."""

    @property
    def refusals(self) -> list[Finding]:
        """What stands against a score."""
        return [found for found in self.findings if found.severity == "block" and found.kind != UNCHANGED]


def check(folder: Path, lineage: Lineage) -> Identity:
    """Look at the weights in `folder`.

    EvoError where the base model was touched since it was last known to be the pinned one: that is nobody's finding.
    """
    outside = strays(folder)
    if outside:
        return Identity([_finding("outside", f"the output names files outside of it: {_some(outside)}")])
    if lineage.base is None:
        return Identity([], weights_hash=weights_hash(folder))
    return fits(folder, lineage, before=_of_format)


def fits(folder: Path, lineage: Lineage, *, before: Callable[[Path], Iterable[Finding]] = lambda _: ()) -> Identity:
    """As `check`, of what the tensors, configs and tokenizer in `folder` say, wherever they lie and whatever else does.

    `before`: findings that leave nothing more to be looked at.
    """
    base = Path(lineage.base or "")
    if lineage.base_stamp and stamp(base) != [tuple(entry) for entry in lineage.base_stamp]:
        raise EvoError(
            f"the files of the base model in {base} were touched while this ran",
            hint="evo run again: they are compared with what was pinned, and no attempt is spent",
        )
    try:
        found = list(before(folder)) or [*_of_model(folder, base), *_of_origin(folder, lineage)]
        if any(each.severity == "block" for each in found):
            return Identity(found)
        weights = weights_hash(folder)
        distance = _distance(folder, lineage, weights)
    except (FileFormatError, OSError, ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        said = error.message if isinstance(error, EvoError) else f"{type(error).__name__}: {error}"
        return Identity([_finding("unreadable", f"the weights cannot be read: {said}")])
    return distance._replace(findings=[*found, *distance.findings], weights_hash=weights)


def stamp(base: Path) -> list[tuple[str | int, ...]]:
    """What changes when a file that a loader may read in the base's folder is written, replaced or renamed over."""
    facts = [(path.name, path.stat()) for path in sorted(base.iterdir()) if path.suffix in _TELLING and path.is_file()]
    return [(name, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns) for name, stat in facts]


def _finding(
    kind: str, message: str, severity: Severity = "block", *, evidence: dict[str, object] | None = None
) -> Finding:
    return Finding(SOURCE, kind, severity, message, evidence or {})


def _some(things: list[str]) -> str:
    more = f" (and {len(things) - _NAMED} more)" if len(things) > _NAMED else ""
    return "; ".join(things[:_NAMED]) + more


def _of_format(folder: Path) -> Iterator[Finding]:
    if pickles := pickled_weights(folder):
        yield _finding(
            "pickle", f"the output holds pickled weights ({_some(pickles)}): loading them would run their code"
        )
    if not weight_files(folder):
        yield _finding("no_weights", "the output holds no safetensors weights, and the workspace has a base model")


def _of_model(folder: Path, base: Path) -> Iterator[Finding]:
    """Architecture and tokenizer are the pinned ones."""
    if is_adapter(folder):
        faults = list(adapter_misfits(folder, base))
    else:
        faults = [*config_differences(folder, base), *shape_differences(folder, base)]
    if faults:
        yield _finding("architecture", f"the output is not of the base model's architecture: {_some(faults)}")
    own, pinned = soundness.vocabulary_of(folder), soundness.vocabulary_of(base)
    if own is not None and pinned is not None and own != pinned:
        apart = len(own.items() ^ pinned.items())
        yield _finding("tokenizer", f"the output's tokenizer is not the base model's: {apart} entries differ")
    ours, theirs = soundness.named_tokens(folder), soundness.named_tokens(base)
    changed = [name for name in sorted(ours.keys() & theirs.keys()) if ours[name] != theirs[name]]
    if changed:
        said = f"the output's tokenizer has another {_some(changed)}; evaluation goes by the base model's"
        yield _finding("special_tokens", said, "warn")


def _of_origin(folder: Path, lineage: Lineage) -> Iterator[Finding]:
    """The start was what evo knows it to be, and an adapter does not say that it was trained on something else."""
    if lineage.start and lineage.start_hash and weights_hash(Path(lineage.start)) != lineage.start_hash:
        said = "the weights that this run started from are not those that were scored: its lineage is unknown"
        yield _finding("lineage", said, evidence={"start": lineage.start})
    if not is_adapter(folder):
        return
    said = read_json(folder / ADAPTER_CONFIG).get("base_model_name_or_path") or ""
    if said in ("", *lineage.names) or _same_folder(said, lineage.base or ""):
        return
    if Path(said).is_dir():
        if weights_hash(Path(said)) != _base_hash(lineage):
            yield _finding("adapter_base", f"the adapter was trained on {said}, which is not the pinned base model")
    elif lineage.is_declared:
        yield _finding("adapter_base", f"the adapter says that its base is {said}, which is not here", "warn")
    else:
        yield _finding("adapter_base", f"the adapter was trained on {said}, which evo does not know")


def _same_folder(one: str, other: str) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)


def _base_hash(lineage: Lineage) -> str:
    return lineage.base_hash or weights_hash(Path(lineage.base or ""))


def _distance(folder: Path, lineage: Lineage, weights: str) -> Identity:
    """How far the weights are from where they began: not at all, as far as training goes, or as another model is."""
    starts = {"the base model": Path(lineage.base or "")}
    hashes = {"the base model": _base_hash(lineage)}
    if lineage.start and not _same_folder(lineage.start, lineage.base or ""):
        starts["the weights it started from"] = Path(lineage.start)
        hashes["the weights it started from"] = lineage.start_hash or weights_hash(Path(lineage.start))
    same = [name for name, known in hashes.items() if known == weights]
    if same or adds_zero(folder):
        said = f"are {same[0]}" if same else "add zero to the base model"
        return _unchanged(said, 0.0)
    try:
        return _measured(folder, lineage, starts)
    except Unmeasurable as error:
        return Identity([_finding("unmeasured", f"how far the weights moved cannot be told: {error}", "note")])


def _measured(folder: Path, lineage: Lineage, starts: dict[str, Path]) -> Identity:
    base = Weights(Path(lineage.base or ""))
    own, delta = Weights(folder, base), 0.0
    for name, place in starts.items():  # the start comes last
        reference = Weights(place, base)
        delta = relative_delta(own, reference)
        if delta < LEAST_DELTA and not own.is_of_form(reference):
            return _unchanged(f"are {name} in another form", delta)
    if math.isnan(delta):
        return Identity([_finding("delta", "the weights hold numbers that are none (NaN or infinite)")])
    if delta <= lineage.max_delta:
        return Identity([], delta)
    facts: dict[str, object] = {"delta": round(delta, 4), "limit": lineage.max_delta}
    if own.is_low_rank:
        said = f"the adapter outweighs what it was trained on ({delta:.2f} of its size): training has diverged"
        return Identity([_finding("delta", said, "warn", evidence=facts)], delta)
    said = (
        f"the weights are {delta:.2f} of their own size away from what they were trained from; training moves them by"
        f" less than {lineage.max_delta:g}, and another model is 1 or more away"
    )
    return Identity([_finding("delta", said, evidence=facts)], delta)


def _unchanged(said: str, delta: float) -> Identity:
    message = f"training changed nothing: the weights {said}"
    return Identity([_finding(UNCHANGED, message)], delta, is_unchanged=True)
