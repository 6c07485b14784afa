"""The warm inference server from the first use to the last: who starts it, who finds it, how it dies."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
import standin_vllm
from evaluating import begin, last_line, run
from servers import ITEMS, answered_by, digest, members, until

from evo.domain.item import ItemResult
from evo.evaluate.backends.hf import HfBackend
from evo.evaluate.backends.vllm import VllmBackend
from evo.evaluate.engine import engine_of
from evo.evaluate.server.command import probe
from evo.evaluate.server.hold import Hold, ServerDown
from evo.evaluate.server.place import down_reason, ensure_keeper, has_keeper, lay_out, state_of
from evo.files import write_json

# -- who starts it, who finds it, when it ends


def test_processes_that_come_at_once_share_one_server_and_a_later_one_finds_it(job, place, python, tmp_path):
    jobs = [replace(job, out_dir=str(tmp_path / f"at-once-{n}" / "out")) for n in range(2)]
    for one in jobs:
        Path(one.out_dir).parent.mkdir()
    assert [each.wait() for each in [begin(one) for one in jobs]] == [0, 0]
    first = state_of(place).run
    assert run(job).returncode == 0
    assert (state_of(place).run, state_of(place).state) == (first, "ready")
    assert len(standin_vllm.requests(python, "/start")) == 1
    told = [json.loads((Path(one.out_dir) / "summary.json").read_text())["engine"] for one in (*jobs, job)]
    assert set(told) == {"vllm 0.31.0 torch 2.13.0"}, "the version that is installed for the server's interpreter"


def test_a_leased_keeper_waits_without_a_server_and_ends_with_the_lease(facts, place):
    lay_out(facts, {})
    lease, heartbeat = place.leases / "a.json", place.root / "heartbeat"
    heartbeat.touch()
    write_json(lease, {"heartbeat": str(heartbeat)})
    assert ensure_keeper(place)
    assert not ensure_keeper(place)
    time.sleep(0.6)
    assert has_keeper(place)
    assert state_of(place).state == "asleep"
    assert state_of(place).run == ""
    for path in (lease, heartbeat):
        os.utime(path, (0, 0))
    until(lambda: not has_keeper(place))
    assert not lease.exists()


def test_an_idle_server_ends_by_itself_and_its_keeper_with_it(facts, place):
    hold = Hold(replace(facts, idle_s=0.5), {"PATH": os.environ["PATH"]})
    hold.ready()
    session = state_of(place).session
    assert len(members(session)) == 3, "the warden, the server and the server's child"
    time.sleep(1.2)
    assert state_of(place).state == "ready", "it is held"
    hold.release()
    until(lambda: not has_keeper(place))
    assert members(session) == set()
    assert state_of(place).state == "asleep"


def test_the_server_ends_with_its_workspace(facts, place, tmp_path):
    hold = Hold(facts, {"PATH": os.environ["PATH"]})
    hold.ready()
    state = state_of(place)
    hold.release()
    shutil.rmtree(place.root)
    until(lambda: not members(state.session) and not Path(f"/proc/{state.keeper}").exists())
    assert not place.root.exists(), "nothing is written where the workspace was"


@pytest.mark.parametrize("part", ["keeper", "warden", "server", "child"])
def test_nothing_is_left_after_kill_9_of_any_part(facts, place, part):
    hold = Hold(facts, {"PATH": os.environ["PATH"]})
    hold.ready()
    state = state_of(place)
    hold.release()
    others = sorted(members(state.session) - {state.session})  # by age: the server, then its child
    pid = {"keeper": state.keeper, "warden": state.session, "server": others[0], "child": others[1]}[part]
    os.kill(pid, signal.SIGKILL)
    if part == "child":
        assert state_of(place).run == state.run  # vLLM ends itself then: nothing to do for the keeper
        os.kill(others[0], signal.SIGTERM)
    until(lambda: not members(state.session))
    if part == "keeper":
        until(lambda: not has_keeper(place))


def test_what_keeper_and_warden_left_when_killed_together_is_ended_by_the_next_keeper(facts, place):
    hold = Hold(facts, {"PATH": os.environ["PATH"]})
    hold.ready()
    state = state_of(place)
    os.kill(state.keeper, signal.SIGSTOP)
    os.kill(state.session, signal.SIGKILL)
    os.kill(state.keeper, signal.SIGKILL)
    until(lambda: not has_keeper(place))
    assert members(state.session), "the server's child lives on: without the next keeper this test shows nothing"
    assert hold.ready().run != state.run
    assert members(state.session) == set()
    hold.release()


# -- crashes


def test_a_server_that_crashes_once_is_started_again_and_the_evaluation_goes_on(job, place, python, base):
    standin_vllm.trouble(python, "dies-on-completion*1")
    assert answered_by(VllmBackend(job), base) == {digest(base)}
    assert len(standin_vllm.requests(python, "/start")) == 2
    assert down_reason(place) == ""


def test_after_the_second_crash_it_is_down_and_says_why(job, place, python, base):
    standin_vllm.trouble(python, "dies-on-completion")
    with pytest.raises(ServerDown, match="the inference server is down: it ended with exit code 9") as caught:
        answered_by(VllmBackend(job), base)
    assert len(standin_vllm.requests(python, "/start")) == 2
    assert str(place.down) in caught.value.hint
    assert members(state_of(place).session) == set()
    ended = run(job)  # at once, and without a start
    assert ended.returncode == 1
    assert last_line(ended).startswith("evo: the inference server is down")
    assert len(standin_vllm.requests(python, "/start")) == 2
    place.down.unlink()
    standin_vllm.trouble(python, "")
    assert answered_by(VllmBackend(job), base) == {digest(base)}


def test_a_server_that_does_not_start_is_down_with_its_own_words(facts, place, python):
    standin_vllm.trouble(python, "dies-at-start")
    with pytest.raises(ServerDown, match="exit code 1: RuntimeError: there is no such device"):
        Hold(facts, {"PATH": os.environ["PATH"]}).ready()


def test_down_is_of_this_boot_only(place, facts):
    lay_out(facts, {})
    write_json(place.down, {"why": "x", "boot_id": "another"})
    assert down_reason(place) == ""


def test_a_mid_evaluation_goes_on_with_hf_all_from_one_engine(job, python, base, capfd):
    standin_vllm.trouble(python, "dies-on-completion")
    mid = VllmBackend(replace(job, split="mid"))
    by_hf = in_order(HfBackend(replace(job, split="mid", backend="hf")).results(ITEMS, base))
    assert in_order(mid.results(ITEMS, base)) == by_hf
    assert "warning: the inference server is down" in capfd.readouterr().err
    assert in_order(mid.results(ITEMS, base)) == by_hf
    assert len(standin_vllm.requests(python, "/start")) == 2


def in_order(results: Iterable[ItemResult]) -> list[ItemResult]:
    return sorted(results, key=lambda result: result.item)


# -- which vLLM


def test_the_engine_is_the_version_that_is_installed_for_the_servers_interpreter(python):
    assert engine_of("vllm", server_python=str(python)) == "vllm 0.31.0 torch 2.13.0"


@pytest.mark.parametrize("version", ["0.21.3", "0.33.0", "1.0"])
def test_a_version_that_evo_does_not_know_is_named(tmp_path, version):
    python = standin_vllm.install(tmp_path / "old", version=version)
    assert f"has vllm {version}; evo speaks with 0.22 to 0.32" in probe(str(python)).problem


def test_an_interpreter_without_vllm_and_one_that_is_none(tmp_path):
    assert probe(sys.executable).problem == f"vllm is not installed for {sys.executable}"
    assert probe(str(tmp_path / "nowhere")).problem == f"there is no interpreter {tmp_path}/nowhere"
    (tmp_path / "broken").write_text("no program")
    (tmp_path / "broken").chmod(0o755)
    assert "is no interpreter that answers" in probe(str(tmp_path / "broken")).problem
