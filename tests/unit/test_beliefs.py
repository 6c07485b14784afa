"""Beliefs that were foreseen while a run was on are those that would have been formed afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest
from workspaces import evo, make_command_workspace, new, skilled

from evo import beliefs
from evo.session import Session, open_session
from evo.store import experiments


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_command_workspace(tmp_path_factory.mktemp("beliefs") / "ws", "gate.mode=none")
    for k, skill in enumerate((0.45, 0.5, 0.55)):
        node = new(folder, skilled(skill), f"node {k}", "--parent", "exp_0000")
        assert evo("run", node, cwd=folder).code == 0
    return folder


def plainly(session: Session) -> tuple[list[float], list[float]]:
    tree, posterior = beliefs._grown(session, beliefs._key(session).prior)
    order = sorted(range(len(tree)), key=lambda i: tree.ids[i])
    return [posterior.mean[i] for i in order], [posterior.variance[i] for i in order]


def formed(session: Session) -> tuple[list[float], list[float]]:
    mind = beliefs.form_beliefs(session)
    order = sorted(range(len(mind.tree)), key=lambda i: mind.tree.ids[i])
    return [mind.posterior.mean[i] for i in order], [mind.posterior.variance[i] for i in order]


def rescored(session: Session, name: str, gain: float) -> None:
    old = experiments.get(session.db, name)
    score = experiments.Score(old.score_mean or 0.0, old.score_se or 0.0, old.score_n or 0)
    experiments.set_scores(session.db, [experiments.Rescored(name, score, old.epoch, gain, 4e-4)])


def test_the_awaited_leaf_joins_what_was_foreseen(workspace: Path) -> None:
    with open_session(workspace) as session:
        beliefs.foresee(session, "exp_0002")
        rescored(session, "exp_0002", 0.21)
        assert formed(session) == plainly(session)
        assert beliefs._foreseen == []


def test_another_change_meanwhile_makes_it_worthless(workspace: Path) -> None:
    with open_session(workspace) as session:
        beliefs.foresee(session, "exp_0002")
        rescored(session, "exp_0001", 0.17)
        rescored(session, "exp_0002", 0.02)
        assert formed(session) == plainly(session)
        beliefs.foresee(session, "exp_0002")
        rescored(session, "exp_0003", -0.17)
        assert formed(session) == plainly(session)


def test_what_was_formed_is_recalled_until_something_changes(workspace: Path) -> None:
    with open_session(workspace) as session:
        first = beliefs.form_beliefs(session)
        assert beliefs.recall_beliefs(session) is first
        rescored(session, "exp_0001", 0.33)
        assert beliefs.recall_beliefs(session) is not first
