"""`evo release`: the vault, opened once.

Invariant: the number that the first call stored is what every later call returns; nothing is evaluated again.
"""

from __future__ import annotations

import math
import statistics

from evo.data import seal
from evo.domain.experiment import ROOT
from evo.domain.item import Split
from evo.domain.score import per_item
from evo.domain.views import ReleaseView, VaultView
from evo.errors import Refused
from evo.gate.statistics import score_error
from evo.ops.judging import epoch
from evo.ops.judging.gating import refuse_scalar
from evo.ops.judging.heldout import sealed_results, side, sigma_of
from evo.ops.progress import OnTick, silent
from evo.session import Session
from evo.store import events, gate_rows, meta
from evo.validation import plain

Z_95 = 1.959963984540054


def release(session: Session, identifier: str | None = None, on_tick: OnTick = silent) -> ReleaseView:
    """The final number of `identifier` (default: the last committed) with its 95 % interval."""
    stored = meta.get(session.db, "release")
    if stored is not None:
        data = stored
        note = "opened before; this is the number of that day"
        if identifier not in (None, data["id"]):
            note = f"the vault was opened for {data['id']} and stays so; nothing was evaluated"
        return ReleaseView(data["id"], VaultView(**data["vault"]), False, note)
    refuse_scalar(session, "released")
    target = identifier or gate_rows.last_committed(session.db)
    if identifier is None and target == ROOT:
        raise Refused(
            "nothing but the baseline is committed", hint=f"`evo release {ROOT}` opens the vault for it all the same"
        )
    vault = open_vault(session, target, on_tick)
    data = {"id": target, "vault": plain(vault)}
    meta.set(session.db, "release", data)
    events.append(session.db, "released", experiment=target, data=data)
    return ReleaseView(target, vault, True, f"the vault is open: {target} scores {vault.mean:.3f} on {vault.n} items")


def open_vault(session: Session, identifier: str, on_tick: OnTick) -> VaultView:
    """Evaluate on the vault; without one, on held-out, which says that it was reused."""
    judge, _ = epoch.enter(session, on_tick)
    split: Split = "vault" if "vault" in seal.read_manifest(session.layout.root).splits else "heldout"
    who = side(session, identifier)
    graded = sealed_results(session, judge, who.experiment, who.runs[0], split=split, on_tick=on_tick)
    values = list(per_item(graded).values())
    metric = session.metric
    noise = sigma_of(session, who.experiment) * metric.unit
    reach = Z_95 * math.sqrt(score_error(values) ** 2 + noise**2)
    mean = statistics.fmean(values)
    low = mean - reach if metric.low is None else max(metric.low, mean - reach)
    high = mean + reach if metric.high is None else min(metric.high, mean + reach)
    used = gate_rows.looks_used(session.db, session.heldout_hash)
    return VaultView(mean, low, high, len(values), "vault" if split == "vault" else f"held-out, reused, {used} looks")
