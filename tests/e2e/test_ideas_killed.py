"""An `evo ideate` that is killed while a model answers: no budget stays locked, and nothing is given back that may have
been billed."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from anthropic_stub import Anthropic, anthropic_api
from workspaces import clean_environment, evo_apart, make_command_workspace

from evo.session import open_session
from evo.store import ledger


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_command_workspace(tmp_path_factory.mktemp("killed") / "w", "ideas.timeout=60s", n=20)


@pytest.fixture
def api() -> Iterator[Anthropic]:
    with anthropic_api() as server:
        yield server


def within(seconds: float, is_so: Callable[[], object]) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def balance(workspace: Path) -> ledger.Balance:
    with open_session(workspace, readonly=True) as session:
        return ledger.balance(session.db)


@contextlib.contextmanager
def asking(workspace: Path, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """`evo ideate` in a process of its own, which is gone afterwards."""
    argv = [sys.executable, "-m", "evo", "ideate", "--brief", "control", "--source", "anthropic"]
    told = clean_environment(**environment)
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    started = subprocess.Popen(argv, cwd=workspace, env=told, **quiet)
    try:
        yield started
    finally:
        started.kill()
        started.wait()


def settled(workspace: Path, *words: str) -> tuple[ledger.Amounts, str]:
    """What a command charges for what was left behind, and what it says of it."""
    before, warnings = balance(workspace).spent, evo_apart(*words, cwd=workspace).document["warnings"]
    now = balance(workspace)
    assert now.reserved == ledger.Amounts()
    cost = ledger.Amounts(llm_tokens=now.spent.llm_tokens - before.llm_tokens, usd=now.spent.usd - before.usd)
    return cost, " | ".join(warnings)


def test_an_asking_that_was_killed_is_charged_at_its_most(workspace: Path, api: Anthropic) -> None:
    """What may have been billed is charged by `evo wait`, as a refusal for want of budget says."""
    api.script = ["a long silence"]
    with asking(workspace, **api.environment) as started:
        within(30, lambda: api.asked)
        started.kill()
    cost, said = settled(workspace, "wait")
    assert cost.llm_tokens > 1_000_000
    assert cost.usd > 2
    assert f"ideate: research is charged with {cost.llm_tokens:,} LLM tokens" in said


def test_an_asking_that_was_ended_before_its_request_left_costs_nothing(workspace: Path, api: Anthropic) -> None:
    """And the next asking finds it, without a word from anybody."""
    with socket.create_server(("127.0.0.1", 0)) as deaf:  # it takes the call, and says no word of TLS
        deaf.settimeout(30)
        address = f"https://127.0.0.1:{deaf.getsockname()[1]}"
        with asking(workspace, **api.environment | {"ANTHROPIC_BASE_URL": address}) as started, deaf.accept()[0]:
            started.terminate()
    cost, said = settled(workspace, "ideate", "--source", "anthropic")
    assert cost == ledger.Amounts()
    assert "ideate: research cost nothing" in said
