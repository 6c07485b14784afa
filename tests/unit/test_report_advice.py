"""What the read side advises: the sentence about an experiment, the next steps, and who has gone quiet."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from growing import claimed, planted, scored
from reading import EPOCH, HELDOUT, commit, plant, reading_workspace, right, score

from evo import beliefs
from evo.domain.experiment import ROOT
from evo.files import write_json
from evo.lightdata import replace
from evo.report import show
from evo.report.live import live
from evo.report.next import steps_of
from evo.report.status import status_view
from evo.runner import proc
from evo.session import Session, open_session
from evo.store import attempts, experiments, gate_rows, meta, record
from evo.store import db as database
from evo.store.record import Finished
from evo.workspace.layout import Layout
from evo.workspace.settings import set_value

KEPT = "kept: open, a legal parent; "


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A workspace with nothing but its root, which has no score yet."""
    layout = Layout(tmp_path)
    layout.create()
    layout.data.mkdir()
    layout.config.write_text("name: bare\nmodel:\n  source: base\n")
    database.create(layout.db)
    with contextlib.closing(database.connect(layout.db)) as db:
        experiments.add_root(db, hypothesis="the base", recipe="base", technique="none")
        meta.set(db, "heldout_hash", HELDOUT)
    return tmp_path


@pytest.fixture
def session(bare: Path) -> Iterator[Session]:
    with open_session(bare) as opened:
        yield opened


def begin(session: Session) -> None:
    meta.set(session.db, "epoch", EPOCH)
    score(session.db, ROOT, right(16))


def steps(session: Session) -> list[str]:
    return [step.cmd for step in steps_of(session)]


def message(session: Session, id: str) -> str:
    return show.experiment_view(session, id).message


def test_the_way_of_a_young_tree(session: Session) -> None:
    """Each step is what the one before it asked for."""
    assert steps(session) == ["evo run exp_0000"]
    begin(session)
    assert steps(session) == ["evo new --parent exp_0000 --recipe sft -m 'sft as it is, from exp_0000'"]
    child = plant(session.db)
    assert steps(session)[0] == "evo run --next"
    score(session.db, child, right(30))
    assert steps(session)[0] == f"evo certify {child}"
    commit(session.db, child)
    assert steps(session)[-1] == "evo release"
    assert not any(step.startswith("evo certify") for step in steps(session))
    meta.set(session.db, "release", "{}")
    assert "evo release" not in steps(session)


def test_what_is_broken_and_owed_comes_first(tmp_path: Path) -> None:
    workspace = reading_workspace(tmp_path)
    with open_session(workspace, readonly=True) as session:
        assert steps(session)[:5] == [
            "evo recover", "evo run exp_0008", "evo wait exp_0006", "evo run --next", "evo log exp_0003",
        ]  # fmt: skip


def test_a_branch_of_a_command_experiment_takes_its_command_along(session: Session) -> None:
    begin(session)
    score(session.db, plant(session.db, recipe="command", params={"argv": "sh -c 'echo 1'"}), right(17))
    assert """--recipe command --set 'argv=sh -c '"'"'echo 1'"'"''""" in steps(session)[-1]


def test_sentences(session: Session) -> None:
    """DESIGN §5: a good run that is not (yet) certified says so kindly."""
    db = session.db
    assert message(session, ROOT) == "the untouched base model, not scored yet: evo run exp_0000"
    begin(session)
    weak, idle, broken, gone = plant(db), plant(db), plant(db), plant(db)
    score(db, weak, right(18))
    assert message(session, weak).startswith(f"{KEPT}no certificate asked for yet (evidence 0.")
    assert message(session, weak).endswith(" of 1.645)")
    assert message(session, idle) == f"not run yet: evo run {idle}"
    attempt = claimed(db, broken)
    record.finish(db, Finished(broken, attempt.n, attempt.token, "failed", failure="no_output"))
    assert message(session, broken) == "failed (no_output): 1 of 3 attempts used, so it may be run again"
    experiments.move(db, gone, "discarded", reason="a copy", class_="data")
    assert message(session, gone) == f"given up (data: a copy); evo restore {gone} takes it back"
    owed = plant(db)
    attempt = claimed(db, owed)
    record.finish(db, Finished(owed, attempt.n, attempt.token, "trained", train_seconds=1.0))
    assert message(session, owed) == f"attempt 1 is trained; its evaluation is owed: evo run {owed} costs no attempt"
    strong = plant(db)
    score(db, strong, right(32))
    assert message(session, strong).startswith(f"{KEPT}the evidence asks for a certificate (evidence ")
    assert f"the best node by what dev shows is {strong}" in message(session, weak)
    commit(db, strong)
    assert message(session, strong) == "committed: certified against exp_0000 (look 1 of 20)"
    assert message(session, weak) == f"{KEPT}{strong} is still the best by what dev shows"


def test_a_failed_ask_says_so_and_no_more(session: Session) -> None:
    """§7: what comes back from held-out is one bit and the number of looks."""
    begin(session)
    child = plant(session.db)
    score(session.db, child, right(24))
    look = gate_rows.reserve_look(
        session.db, heldout_hash=HELDOUT, experiment=child, against=ROOT, weights_hash=f"weights of {child}",
        against_weights_hash=f"weights of {ROOT}", limit=20, evidence=1.9,
    )  # fmt: skip
    gate_rows.answer(
        session.db, look, passed=False, mode="certify", isolation="bwrap", epoch=EPOCH, move_to_committed=True
    )
    view = show.experiment_view(session, child)
    assert view.message == f"{KEPT}not certified against exp_0000 (look 1 of 20)"
    assert view.certificate is not None
    assert not view.certificate.passed
    assert not any(step.startswith("evo certify") for step in steps(session))


def test_a_gate_that_is_off_is_not_asked_for(bare: Path) -> None:
    set_value(Layout(bare), "gate.mode", "none")
    with open_session(bare) as session:
        begin(session)
        child = plant(session.db)
        score(session.db, child, right(32))
        assert message(session, child) == f"{KEPT}the gate is off"
        assert not any(step.startswith("evo certify") for step in steps(session))


def test_a_no_op_is_never_proposed_for_a_certificate(session: Session) -> None:
    begin(session)
    twin = plant(session.db)
    score(session.db, twin, right(34), is_noop=True)
    assert "a no-op is never certified" in message(session, twin)
    assert not any(step.startswith("evo certify") for step in steps(session))


@pytest.mark.parametrize("how", ["alive", "supervisor gone", "silent", "finished", "another host"])
def test_who_has_gone_quiet(session: Session, how: str) -> None:
    """§10: liveness is (host, boot id, pid, start) and the heartbeat; a finished attempt waits to be taken in."""
    begin(session)
    child = plant(session.db)
    attempt = claimed(session.db, child)
    attempts.start(session.db, child, attempt.n, token=attempt.token, isolation="none")
    folder = session.layout.attempt(child, attempt.n)
    folder.root.mkdir(parents=True)
    dead = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    who = proc.identity(dead.pid)
    assert who is not None
    dead.communicate()
    if how != "supervisor gone":
        who = proc.identity(os.getpid())
        assert who is not None
    if how == "another host":
        who = {**who, "host": "elsewhere", "pid": 1}
    write_json(folder.supervisor, {"process": who, "stage": "training"})
    folder.heartbeat.touch()
    if how in ("silent", "finished"):
        os.utime(folder.heartbeat, (1, 1))
    if how == "finished":
        folder.result.write_text("{}")
    now = live(session)
    is_quiet = how in ("supervisor gone", "silent")
    assert [entry.id for entry in now.stale] == ([child] if is_quiet else [])
    assert [entry.stage for entry in now.running] == (
        [] if is_quiet else ["finished" if how == "finished" else "training"]
    )
    assert steps(session)[0].split()[1] == ("recover" if is_quiet else "sync" if how == "finished" else "wait")
    assert show.experiment_view(session, child).running is not is_quiet


def test_status_names_the_best_by_what_was_kept(session: Session) -> None:
    """§9: the best is the one of highest posterior mean; a shrunken shot may lose to a sure thing."""
    assert status_view(session, live(session)).best is None
    begin(session)
    child = plant(session.db)
    score(session.db, child, right(22))
    assert (status_view(session, live(session)).best, status_view(session, live(session)).best_by) == (
        child,
        "dev gain",
    )
    mind = beliefs.form_beliefs(session)
    beliefs.remember_best(session, mind)
    view = status_view(session, live(session))
    assert (view.best, view.best_by) == (mind.best, "posterior")
    score(session.db, plant(session.db), right(40))
    assert status_view(session, live(session)).best_by == "dev gain"


def test_a_further_seed_is_weighed_against_a_new_child(session: Session) -> None:
    """§9: two nodes that overlap, of a recipe whose runs differ much: a seed comes before the branch; not else."""
    begin(session)
    for _ in range(2):
        scored(session.db, planted(session.db), eval_hash=EPOCH, gain=0.2, gain_var=0.0112)
    assert not any("--seed" in step for step in steps(session))
    noisy = replace(session, config=replace(session.config, gate=replace(session.config.gate, sigma_run=0.1)))
    words = steps(noisy)
    further = [step for step in words if "--seed" in step]
    assert len(further) == 1
    assert words.index(further[0]) < next(i for i, step in enumerate(words) if step.startswith("evo new"))
