"""From a real workspace to the live screen, and on a real (pseudo) terminal."""

from __future__ import annotations

import json
import os
import pty
import threading
import time
from pathlib import Path
from typing import TextIO

import pytest
from reading import beat, plant, reading_workspace

from evo.cli.live.reader import TURN_S, LiveReader, one_line, technique_words
from evo.cli.live.show import can_draw, shown
from evo.cli.live.state import Curve, Work
from evo.files import write_json
from evo.ops.progress import Tick
from evo.session import Session, open_session
from evo.store import experiments, record
from evo.workspace.layout import Layout


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return reading_workspace(tmp_path_factory.mktemp("live"))


def log(session: Session, *rows: dict[str, object], torn: str = "") -> None:
    path = session.layout.attempt("exp_0006", 1).metrics
    with path.open("a") as file:
        file.write("".join(json.dumps(row) + "\n" for row in rows) + torn)


def test_the_state_holds_what_the_store_holds(workspace: Path) -> None:
    """Nodes, scores of this epoch, standings, looks and what runs, all from the workspace."""
    with open_session(workspace, readonly=True) as session:
        state = LiveReader(session).read(elapsed_s=3.0, message="two\nlines\x1b[2J")
    nodes = {node.id: node for node in state.nodes}
    assert len(nodes) == 10
    assert (nodes["exp_0001"].score, nodes["exp_0001"].is_certified) == (0.70, True)
    assert nodes["exp_0001"].delta == pytest.approx(0.30)
    assert nodes["exp_0000"].is_certified is False
    assert (nodes["exp_0003"].state, nodes["exp_0003"].failure) == ("failed", "nonzero_exit")
    assert nodes["exp_0009"].score is None, "a score of an older epoch is not shown beside those of this one"
    assert (state.looks_used, state.looks_limit, state.name) == (1, 20, "reading")
    assert [(work.experiment, work.stage) for work in state.work] == [("exp_0006", "training")]
    assert state.message == "two lines [2J"


def test_a_new_event_is_seen_and_reading_writes_nothing(workspace: Path) -> None:
    before = (workspace / ".evo" / "evo.db").stat().st_mtime_ns
    with open_session(workspace, readonly=True) as session:
        reader = LiveReader(session)
        first = reader.read(elapsed_s=0.0)
        assert reader.read(elapsed_s=0.1).nodes is first.nodes, "nothing happened: the tree was not read again"
        assert (workspace / ".evo" / "evo.db").stat().st_mtime_ns == before
        with open_session(workspace) as writer:
            experiments.set_insight(writer.db, "exp_0002", "seen")
        assert reader.read(elapsed_s=0.2).nodes is not first.nodes


def test_the_curve_grows_line_by_line_and_a_torn_line_waits(workspace: Path) -> None:
    """The curve of the run that is training now."""
    with open_session(workspace, readonly=True) as session:
        reader = LiveReader(session)
        assert reader.read(elapsed_s=0.0).curve is None
        at = "2026-01-01T00:00:0{}.000Z"
        log(session, {"at": at.format(1), "step": 2, "loss": 1.5, "learning_rate": 2e-4}, torn='{"step": 4, "lo')
        curve = reader.read(elapsed_s=0.0).curve
        assert isinstance(curve, Curve)
        assert (curve.steps, curve.values, curve.learning_rate, curve.is_live) == ((2,), (1.5,), 2e-4, True)
        log(session, torn='ss": 0.5}\n{"step": 5, "loss": null}\n')
        log(session, {"at": at.format(4), "step": 6, "loss": 0.25})
        curve = reader.read(elapsed_s=0.0).curve
        assert isinstance(curve, Curve)
        assert (curve.steps, curve.values, curve.seconds) == ((2, 4, 6), (1.5, 0.5, 0.25), 3.0)


def test_all_that_run_are_followed_and_each_is_drawn_in_its_turn(tmp_path: Path) -> None:
    """`evo watch` of several runs of any process: what each says of itself, and one curve after the other."""
    root = reading_workspace(tmp_path)
    with open_session(root) as session:
        other = plant(session.db, hypothesis="beside it")
        beat(session.layout, session.db, other, age_s=0.0)
        log(session, {"step": 2, "loss": 1.5, "reward": 0.25}, {"step": 4, "loss": 1.0, "reward": 0.5})
        folder = session.layout.attempt(other, 1)
        folder.metrics.write_text('{"step": 7, "loss": 0.5}\n')
        folder.mid_dir.mkdir()
        write_json(folder.mid_dir / "000007.json", {"step": 7, "mean": 0.4, "se": 0.1, "n": 32})
        reader = LiveReader(session)
        state = reader.read(elapsed_s=0.0)
        said = {work.experiment: work.vitals for work in state.work}
        assert (said["exp_0006"].reward, said[other].loss) == (0.5, 0.5)
        assert (state.curve.experiment, state.curve.name, state.curve.mids) == (other, "loss", ((7, 0.4),))
        turned = reader.read(elapsed_s=TURN_S).curve
        assert (turned.experiment, turned.name, turned.values) == ("exp_0006", "reward", (0.25, 0.5))
        assert reader.read(elapsed_s=2 * TURN_S).curve.experiment == other
        record.lose(session.db, other, 1, reason="gone")
        after = reader.read(elapsed_s=2 * TURN_S)
        assert [work.experiment for work in after.work] == ["exp_0006"]
        assert after.curve.experiment == "exp_0006"


def test_the_curve_of_a_run_that_is_over_stays_with_its_mid_evaluations(tmp_path: Path) -> None:
    root = reading_workspace(tmp_path)
    with open_session(root) as session:
        folder = session.layout.attempt("exp_0006", 1)
        folder.metrics.write_text('{"step": 7, "loss": 0.5}\n')
        folder.mid_dir.mkdir()
        write_json(folder.mid_dir / "000007.json", {"step": 7, "mean": 0.4, "se": 0.1, "n": 32})
        reader = LiveReader(session)
        assert reader.read(elapsed_s=0.0).curve.is_live
        record.lose(session.db, "exp_0006", 1, reason="gone")
        last = reader.read(elapsed_s=1.0).curve
        assert (last.experiment, last.is_live, last.mids) == ("exp_0006", False, ((7, 0.4),))


def test_what_only_ticks_tell_is_shown_beside_it(workspace: Path) -> None:
    with open_session(workspace, readonly=True) as session:
        reader = LiveReader(session)
        state = reader.read(elapsed_s=0.0, aside=Work("exp_0002", "vault", 1.0))
        assert [work.stage for work in state.work] == ["training", "vault"]


def test_words_of_a_technique_and_of_a_hypothesis() -> None:
    assert technique_words("sft", {"method": "lora", "learning_rate": 0.005}) == "sft lora 5e-3"
    assert technique_words("grpo", {"learning_rate": True}) == "grpo"
    assert one_line("a\x1b[31m b\n\tc\u202e") == "a [31m b c"


def test_on_a_terminal_it_draws_at_least_four_times_a_second_and_gives_the_screen_back(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One live screen. Under NO_COLOR, on a dumb terminal and in a pipe there is none."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "110")
    monkeypatch.setenv("LINES", "30")
    monkeypatch.delenv("NO_COLOR", raising=False)
    master, slave = pty.openpty()
    seen = bytearray()
    reading = threading.Thread(target=_drain, args=(master, seen), daemon=True)
    reading.start()
    with os.fdopen(slave, "w", encoding="utf-8") as terminal:
        assert can_draw(terminal)
        with shown(workspace, stream=terminal) as screen:
            screen.say("hello there")
            screen.tick(Tick("exp_0001", 0, "vault", 2.0))
            time.sleep(2.0)
        for name, value in (("NO_COLOR", "1"), ("TERM", "dumb")):
            with monkeypatch.context() as changed:
                changed.setenv(name, value)
                assert not can_draw(terminal)
    reading.join(5)
    os.close(master)
    text = seen.decode("utf-8", "replace")
    assert text.count("best on dev 0.750") >= 8, "frames of two seconds"
    assert "hello there" in text
    assert "exp_0001 vault" in text
    assert text.startswith("\x1b[?1049h")
    assert "\x1b[?1049l" in text
    assert text.rindex("\x1b[?1049l") > text.rindex("best on dev")
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l"), "the cursor is back"


def _drain(master: int, into: bytearray) -> None:
    while True:
        try:
            chunk = os.read(master, 65536)
        except OSError:  # the other end is closed
            return
        if not chunk:
            return
        into += chunk


def _interrupted(workspace: Path, terminal: TextIO) -> None:
    with shown(workspace, stream=terminal):
        time.sleep(0.3)
        raise KeyboardInterrupt


def test_a_failure_of_the_work_gives_the_screen_back_and_is_passed_on(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    master, slave = pty.openpty()
    with os.fdopen(slave, "w", encoding="utf-8") as terminal:
        seen = bytearray()
        reading = threading.Thread(target=_drain, args=(master, seen), daemon=True)
        reading.start()
        with pytest.raises(KeyboardInterrupt):
            _interrupted(workspace, terminal)
    reading.join(5)
    os.close(master)
    assert b"\x1b[?1049l" in seen
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("evo-live")]
    assert Layout(workspace).db.exists()
