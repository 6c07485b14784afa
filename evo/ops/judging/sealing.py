"""Gold items become splits: what `init` and `data seal` do with them, and what the numbers can show.

Invariant: the plan is made and checked before anything is written.
"""

from __future__ import annotations

from pathlib import Path

from evo.config import EvoConfig, SearchConfig
from evo.data import seal
from evo.data.reader import read_items
from evo.data.split import Splits, groups_of, parse_shares, split_gold
from evo.domain.item import Item
from evo.errors import UsageError
from evo.files import write_json
from evo.gate.asking import EVIDENCE
from evo.gate.noise import SUPERVISED
from evo.gate.power import ASSUMED, asking_gain, smallest_gain
from evo.lightdata import dataclass, replace
from evo.workspace import repository
from evo.workspace.layout import Layout


@dataclass(frozen=True)
class GoldRequest:
    """Either one gold file that is split, or the splits by name."""

    gold: Path | None = None
    shares: str | None = None
    dev: Path | None = None
    heldout: Path | None = None
    vault: Path | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file that holds sealed items in the clear."""
        return tuple(path for path in (self.gold, self.heldout, self.vault) if path is not None)


@dataclass(frozen=True)
class Plan:
    """The splits to write; `mid`: where the mid slice comes from, and its items; `source`: files with sealed items."""

    splits: Splits
    mid: tuple[str, tuple[Item, ...]]
    source: tuple[Path, ...]


def plan(request: GoldRequest, *, train: Path | None, mid: int, seed: int) -> Plan | None:
    """Read and divide the gold items; None when there are none. FileFormatError names file, line, field."""
    splits = _splits(request, seed=seed)
    rows = read_items(train, needs_target=False) if train is not None else []
    if splits is None:
        return None
    chosen = seal.choose_mid(rows, splits.dev, size=mid, seed=seed)
    taken = {item.id for item in chosen[1]}
    return Plan(replace(splits, dev=tuple(i for i in splits.dev if i.id not in taken)), chosen, request.files)


def _splits(request: GoldRequest, *, seed: int) -> Splits | None:
    if request.gold is not None:
        if request.dev or request.heldout or request.vault:
            raise UsageError(
                "--gold is split by evo; --dev, --heldout and --vault name splits", hint="give one or the other"
            )
        shares = parse_shares(request.shares) if request.shares else None
        return split_gold(read_items(request.gold, needs_target=True), shares=shares, seed=seed)
    if request.dev is None and request.heldout is None:
        return None
    if request.dev is None or request.heldout is None:
        raise UsageError("--dev and --heldout belong together", hint="or --gold FILE, and evo splits it")
    files = (request.dev, request.heldout, request.vault)
    dev, heldout, vault = (tuple(read_items(path, needs_target=True)) if path else () for path in files)
    refuse_shared(dict(zip(("--dev", "--heldout", "--vault"), (dev, heldout, vault), strict=True)))
    return Splits(dev=dev, heldout=heldout, vault=vault)


def refuse_shared(splits: dict[str, tuple[Item, ...]]) -> None:
    """The same id, question, cluster, or nearly the same question in two splits would let one tell about the other."""
    home = {id(item): name for name, items in splits.items() for item in items}
    items = [item for part in splits.values() for item in part]
    names: dict[str, str] = {}
    for item in items:
        if names.setdefault(item.id, home[id(item)]) != home[id(item)]:
            raise UsageError(
                f"item {item.id} is in {names[item.id]} and in {home[id(item)]}", hint="an item has one split"
            )
    for group in groups_of(items):
        where = {home[id(item)]: item.id for item in group}
        if len(where) > 1:
            (first, a), (second, b) = list(where.items())[:2]
            raise UsageError(
                f"item {a} of {first} and item {b} of {second} belong together: one cluster, or nearly one question",
                hint="keep them in one split, or give --gold and let evo split",
            )


def write(layout: Layout, config: EvoConfig, plan_: Plan) -> tuple[str, ...]:
    """Seal the plan. The warnings say what the numbers cannot show, and which plain copies remain."""
    tracked = repository.tracked(layout.root, ["."]) if repository.is_repo(layout.root) else []
    source = plan_.source[0] if plan_.source else None
    seal.seal(layout.root, plan_.splits, mid=plan_.mid, seed=config.splits.seed, source=source, tracked=tracked)
    write_json(layout.sealed / "sources.json", [str(path.absolute()) for path in plan_.source], mode=0o600)
    return tuple(f"{path} still holds the sealed items in the clear: move it off this machine" for path in plan_.source)


@dataclass(frozen=True)
class Power:
    """In units: the dev gain at which the gate is first asked, and the true gain it certifies with 80 % power."""

    asks_at: float
    certifies: float


def power(n_dev: int, n_heldout: int, *, alpha: float) -> Power:
    """What these numbers can show at 20 % discordance and the assumed run noise."""
    search = SearchConfig()
    prior = (search.mu, search.tau)
    asks_at = asking_gain(max(1, n_dev), discordance=ASSUMED, sigma_run=SUPERVISED, prior=prior, needed=EVIDENCE)
    gain = smallest_gain(max(1, n_heldout), discordance=ASSUMED, sigma_run=SUPERVISED, alpha=alpha)
    return Power(asks_at, gain)
