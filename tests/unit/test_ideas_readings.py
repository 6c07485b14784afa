"""What the end of a run's metrics says of it, before anybody compares it with another."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from reading import EPOCH, HELDOUT, N, right, score

from evo.domain.experiment import ROOT
from evo.ops.ideas.facts import readings_of, shapes_of
from evo.session import open_session
from evo.store import db as database
from evo.store import experiments, meta
from evo.store.whole import WholeRow
from evo.workspace.layout import Layout


def read(technique: str, *, score: float | None = 0.5, sign: float = 1.0, **end: float) -> list[str]:
    row = WholeRow(
        "exp_0001", "exp_0000", "open", technique, technique, "{}", "", 0.1, 1e-4, score, 0.02, "e", 0, 0, "", "", "",
        None, "parent", "", 0.0, json.dumps(end),
    )  # fmt: skip
    return list(readings_of(row, low=0.0, high=1.0, sign=sign))


@pytest.mark.parametrize(
    ("technique", "end", "found"),
    [
        ("grpo", {"train_score": 0.5, "reward_std": 0.2, "entropy": 0.6, "kl": 0.1, "truncated": 0.09}, []),
        ("grpo", {"train_score": 0.995}, ["reward-saturated", "generalisation-gap"]),
        ("grpo", {"train_score": 0.5, "reward_std": 0.001}, ["reward-flat"]),
        ("rft", {"train_score": 0.85}, ["generalisation-gap"]),
        ("rloo", {"kl": 1.5}, ["instability"]),
        ("grpo", {"entropy": 0.01}, ["entropy-collapse"]),
        ("grpo", {"truncated": 0.1}, ["truncated-outputs"]),
        ("sft", {"loss": 0.01}, ["memorised"]),
        ("sft", {"loss": 0.3, "mean_token_accuracy": 0.99}, ["memorised"]),
        ("dpo", {"loss": 0.01}, []),
    ],
)
def test_the_end_of_a_run_is_read(technique: str, end: dict[str, float], found: list[str]) -> None:
    """A34: the failures that are told apart by a run's own numbers."""
    assert read(technique, **end) == found


def test_where_less_is_better_the_reward_has_the_other_sign() -> None:
    assert read("grpo", score=0.5, sign=-1.0, train_score=-0.5) == []
    assert read("grpo", score=0.5, sign=-1.0, train_score=-0.003) == ["reward-saturated", "generalisation-gap"]


def test_a_run_without_a_score_says_nothing_yet() -> None:
    assert read("grpo", score=None, truncated=1.0, kl=9.0) == []


@pytest.mark.parametrize(
    ("scorer", "scores", "shape"),
    [
        ("exact", None, "verifiable"),
        ("custom", None, "scorer"),
        ("custom", right(16), "verifiable"),
        ("custom", [0.5, *right(16)[1:]], "scorer"),
    ],
)
def test_a_scorer_of_ones_own_verifies_where_it_knows_right_and_wrong_alone(
    tmp_path: Path, scorer: str, scores: list[float] | None, shape: str
) -> None:
    """Unit tests verify code, whatever the scorer is called; marks do not."""
    layout = Layout(tmp_path)
    layout.create()
    layout.config.write_text(f"name: bare\nmodel:\n  source: base\neval:\n  scorer: {scorer}\n")
    database.create(layout.db)
    with contextlib.closing(database.connect(layout.db)) as db:
        experiments.add_root(db, hypothesis="the base", recipe="base", technique="none")
        meta.set(db, "heldout_hash", HELDOUT)
        meta.set(db, "epoch", EPOCH)
        if scores is not None:
            assert len(scores) == N
            score(db, ROOT, scores)
    with open_session(tmp_path, readonly=True) as session:
        assert shapes_of(session, {"demonstrations": 9}) == [shape, "demonstrations"]
