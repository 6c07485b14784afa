"""Differences that the read commands show: paired, 95 %, with run noise, in the metric's own units; and answers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from reading import EPOCH, OLD_EPOCH, N, plant, reading_workspace, right, score

from evo.config import GateConfig, MetricConfig
from evo.domain.experiment import ROOT
from evo.domain.item import Item
from evo.domain.score import Score
from evo.errors import NotFound, Refused
from evo.gate.statistics import RunNoise
from evo.report import show
from evo.report.changes import parse_numstat
from evo.report.compare import compare_view
from evo.report.failures import failures_view
from evo.report.pairs import Pairing, difference
from evo.session import Session, open_session
from evo.store import db as database
from evo.store import meta, results

Z_95 = 1.959963984540054


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return reading_workspace(tmp_path_factory.mktemp("differences"))


@pytest.fixture
def session(built: Path) -> Iterator[Session]:
    with open_session(built, readonly=True) as opened:
        yield opened


@pytest.mark.parametrize(
    ("b", "c", "sigma", "z"),
    [
        (5, 0, 0.0, 2.2589),
        (8, 2, 0.007, 1.6158),
        (20, 10, 0.007, 1.7260),
        (60, 40, 0.007, 1.9763),
        (40, 60, 0.0, -2.0152),
    ],
)
def test_the_interval_is_that_of_the_gates_statistics(session: Session, b: int, c: int, sigma: float, z: float) -> None:
    """DESIGN §8, reference values for n = 200: the half-width is 1.96 mean/z."""
    wins, losses = {f"i{k}" for k in range(b)}, {f"i{k}" for k in range(b, b + c)}
    items = [f"i{k}" for k in range(200)]
    pairing = Pairing(
        {i: float(i in losses) for i in items}, {i: float(i in wins) for i in items}, RunNoise(sigma, 1, 1)
    )
    found = difference(session, pairing, {})
    assert found.mean == pytest.approx((b - c) / 200)
    assert found.high - found.mean == pytest.approx(Z_95 * found.mean / z, rel=1e-4)
    assert found.mean - found.low == pytest.approx(found.high - found.mean)


def test_clusters_of_dev_items_widen_the_interval(session: Session) -> None:
    items = [f"i{k}" for k in range(40)]
    pairing = Pairing({i: 0.0 for i in items}, {i: float(k < 20) for k, i in enumerate(items)}, RunNoise(0.0, 1, 1))
    alone = difference(session, pairing, {})
    dev = {i: Item(i, (), None, cluster=f"c{k // 5}") for k, i in enumerate(items)}
    together = difference(session, pairing, dev)
    assert together.mean == alone.mean
    assert together.high - together.mean > 2 * (alone.high - alone.mean)


def test_where_less_is_better_differences_stay_in_the_metrics_own_units(tmp_path: Path) -> None:
    """An error of 30 that falls to 10 differs by −20, and its items count as gained."""
    workspace = reading_workspace(tmp_path)
    with open_session(workspace) as opened:
        config = replace(opened.config, metric=MetricConfig("error", "min", "none"), gate=GateConfig(sigma_run=0.0))
        meta.set(opened.db, "metric_unit", 10.0)
        high, low = plant(opened.db), plant(opened.db)
        score(opened.db, high, [30.0 + k % 2 for k in range(N)])
        score(opened.db, low, [10.0 + k % 2 for k in range(N)])
        session = Session(opened.layout, config, opened.db)
        view = compare_view(session, high, low)
        worst = failures_view(session, high, limit=1)
    assert view.delta.mean == pytest.approx(-20.0)
    # no spread at all: the floor of §8 holds, (.02 units)²/n
    assert view.delta.high - view.delta.mean == pytest.approx(Z_95 * 10.0 * 0.02 / N**0.5)
    assert (view.gained, view.lost) == (N, 0)
    assert worst.items[0].score == 31.0
    assert worst.total == N // 2


def test_compare_says_what_differs(session: Session) -> None:
    view = compare_view(session, "exp_0001", "exp_0002", limit=1)
    assert (view.n, view.gained, view.lost, view.truncated) == (N, 2, 0, True)
    assert [(flip.id, flip.a, flip.b, flip.a_output, flip.b_output) for flip in view.flipped] == [
        ("item-28", 0.0, 1.0, "57", "56")
    ]
    assert view.delta.mean == pytest.approx(0.05)
    assert {part.slice: (part.n, part.delta.mean) for part in view.slices} == {
        "even": (20, pytest.approx(0.05)),
        "odd": (20, pytest.approx(0.05)),
    }
    assert {change.name: (change.a, change.b) for change in view.changes} == {
        "learning_rate": (1e-4, 5e-5),
        "data.train": (None, f"data/train.jsonl (100 lines, {'d' * 12})"),
    }
    assert [(file.path, file.added, file.removed) for file in view.files] == [("recipe/train.py", 1, 1)]
    curve = view.curves["exp_0002"]
    assert curve is not None
    assert (curve.points, curve.steps, curve.first_loss, curve.last_loss) == (
        3,
        3,
        2.5,
        0.5,
    )  # the torn line is left out
    assert view.curves["exp_0001"] is None


def test_two_seeds_have_half_the_run_noise(session: Session) -> None:
    """§8: se² holds σ_run²(1/k_cand + 1/k_ref); exp_0002 has two seeds, exp_0001 one."""
    shown = show.experiment_view(session, "exp_0002").delta
    assert shown is not None
    sampling = max(0.05 * 0.95 * N / (N - 1), 1 / N) / N
    assert shown.high - shown.mean == pytest.approx(Z_95 * (sampling + 0.007**2 * 1.5) ** 0.5)


def test_the_shrunken_estimate_is_no_gain(session: Session) -> None:
    """§9: it stands beside the score under its own name."""
    view = show.experiment_view(session, "exp_0001")
    assert view.delta is not None
    assert view.shrunken is not None
    assert view.delta.mean == pytest.approx(0.3)
    assert view.shrunken.mean != pytest.approx(0.3, abs=1e-3)
    assert show.experiment_view(session, ROOT).shrunken is None
    assert show.experiment_view(session, "exp_0009").shrunken is None


def test_a_delta_never_spans_epochs(tmp_path: Path) -> None:
    """§12: the child came over to this epoch, its parent did not, and both have results in the old one."""
    workspace = reading_workspace(tmp_path)
    with open_session(workspace) as session:
        db = session.db
        parent = plant(db)
        score(db, parent, right(10), epoch=OLD_EPOCH)
        child = plant(db, parent=parent)
        score(db, child, right(20), epoch=OLD_EPOCH)
        before = show.experiment_view(session, child)
        anew = results.items(db, child, n=1, eval_hash=OLD_EPOCH)
        told = results.Epoch(child, 1, EPOCH, anew, Score(0.5, 0.08, N), gain=0.1, gain_var=0.01)
        assert results.add_epoch(db, told)
        after = show.experiment_view(session, child)
    assert before.delta is not None
    assert before.delta.mean == pytest.approx(0.25)
    assert before.shrunken is None
    assert after.delta is None
    assert after.shrunken is not None


def test_views_do_without_a_broken_dev_file(tmp_path: Path) -> None:
    workspace = reading_workspace(tmp_path)
    (workspace / "data" / "dev.jsonl").write_text("{\n")
    with open_session(workspace, readonly=True) as session:
        view = show.experiment_view(session, "exp_0001")
    assert view.slices == {}
    assert view.delta is not None


def test_slice_means_are_those_of_dev(session: Session) -> None:
    """A28: a result for each slice."""
    assert show.experiment_view(session, ROOT).slices == {"even": 0.4, "odd": 0.4}


def test_failures_are_dev_items_worst_first(tmp_path: Path) -> None:
    workspace = reading_workspace(tmp_path)
    with contextlib.closing(database.connect(workspace / ".evo" / "evo.db")) as db:
        partly = plant(db)
        score(db, partly, [0.5, 0.25, 0.0, *right(N)[3:28], *[1.0] * 12])
    with open_session(workspace, readonly=True) as session:
        view = failures_view(session, partly)
        assert [(item.id, item.slice, item.score) for item in view.items] == [
            ("item-2", "even", 0.0), ("item-1", "odd", 0.25), ("item-0", "even", 0.5),
        ]  # fmt: skip
        assert (view.items[0].input, view.items[0].expected, view.items[0].output) == ("2 + 2 =", "4", "5")
        assert [item.id for item in failures_view(session, partly, slice="odd").items] == ["item-1"]
        with pytest.raises(NotFound) as missing:
            failures_view(session, partly, slice="ood")
        assert "odd" in missing.value.hint
        with pytest.raises(Refused):
            failures_view(session, "exp_0005")


def test_numstat_with_a_binary_file_and_a_tab_in_a_name() -> None:
    found = parse_numstat("3\t0\ta\tb.py\0-\t-\tw.bin\0")
    assert [(file.path, file.added, file.removed) for file in found] == [("a\tb.py", 3, 0), ("w.bin", None, None)]
