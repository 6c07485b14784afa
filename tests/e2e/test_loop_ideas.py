"""`evo loop --ideator anthropic` against loopback services: what a model proposes becomes an experiment, what it costs
is in the ledger, and a service that is away costs the night nothing but its ideas."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic_stub as stub
import pytest
from anthropic_stub import OVERLOADED, Anthropic, all_services, proposal
from looping import heartbeat, journal, make_loop_workspace
from workspaces import evo_here

EACH = stub.USED["input_tokens"] + stub.USED["output_tokens"]
ASK = "loop --experiments 3 --ideator anthropic"


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[Anthropic]:
    with all_services(monkeypatch) as server:
        cited = [{"index": 0, "finding": "helps"}]
        settings = [{"name": "beta", "value": "0.7"}, {"name": "rate", "value": "0.01"}]
        server.proposals = [proposal(title="a firm cube", recipe="cube", settings=settings, references=cited)]
        yield server


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return make_loop_workspace(tmp_path / "ws", "ideas.timeout=1s", n=200)


@pytest.mark.slow
def test_a_models_idea_becomes_an_experiment(api: Anthropic, workspace: Path) -> None:
    """A4, C7: asked once before the first experiment; its idea is run with its reference checked, linked to the node,
    and its tokens and money are in the ledger."""
    done = evo_here(f"{ASK} --json", cwd=workspace).data
    assert (done["status"], done["experiments"]) == ("completed", 3)
    first = done["picks"][0]
    assert (first["kind"], first["experiment"]) == ("idea", "exp_0001"), done["picks"]
    assert all(pick["kind"] != "idea" for pick in done["picks"][1:]), "the literature was asked more than once"
    assert len(api.asked) == 2, "a research and a choice"
    params = evo_here("show exp_0001 --json", cwd=workspace).data["recipe"]["params"]
    assert (params["beta"], params["rate"]) == (0.7, 0.01)
    idea = evo_here(f"ideas show {number(first['why'])} --json", cwd=workspace).data
    assert (idea["state"], idea["title"], idea["patch"]) == ("taken", "a firm cube", {"beta": 0.7, "rate": 0.01})
    assert (idea["source"], idea["experiment"]) == ("anthropic", "exp_0001")
    assert [one["status"] for one in idea["references"]] == ["verified"], idea["references"]
    tokens, usd = spent(workspace)
    assert tokens == 2 * EACH
    assert usd > 0
    assert journal(workspace)[0]["kind"] == "idea"


def spent(workspace: Path) -> tuple[float, float]:
    caps = {cap["name"]: cap["spent"] for cap in evo_here("budget --json", cwd=workspace).data["caps"]}
    return caps["llm_tokens"], caps["usd"]


def number(why: str) -> str:
    """`idea 4 (literature): …`"""
    return why.split()[1]


def test_without_a_key_it_does_not_begin(api: Anthropic, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was asked for by name and cannot be had is a clear exit, with nothing begun; from evo.yaml it is a
    warning."""
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    refused = evo_here(f"{ASK} --json", cwd=workspace)
    assert (refused.code, "no key" in refused.error["message"]) == (4, True), refused.out
    assert "ANTHROPIC_API_KEY" in refused.error["hint"]
    assert not (workspace / "PLAN.md").exists()
    assert evo_here("config set ideas.source anthropic --json", cwd=workspace).code == 0
    done = evo_here("loop --experiments 1", cwd=workspace)
    assert done.code == 0, done.err
    assert done.err.count("set ANTHROPIC_API_KEY") == 1
    assert api.asked == []


@pytest.mark.slow
@pytest.mark.parametrize("trouble", ["overloaded", "silence", "hang up"])
def test_a_service_that_is_away_does_not_end_the_night(api: Anthropic, workspace: Path, trouble: str) -> None:
    """529s, a time-out, a connection that breaks: the loop makes its experiments without, and says so once."""
    api.script[:] = [OVERLOADED] * 9 if trouble == "overloaded" else [trouble] * 9
    lines = evo_here(f"{ASK} --json-lines", cwd=workspace)
    assert lines.code == 0, lines.err
    events = [json.loads(line) for line in lines.out.splitlines()]
    told = [event["message"] for event in events if event.get("event") == "warning"]
    assert sum("no ideas from" in message for message in told) == 1, told
    data = events[-1]["data"]
    assert (data["status"], data["experiments"]) == ("completed", 3)
    assert all(pick["outcome"] == "scored" for pick in data["picks"])


@pytest.mark.slow
def test_the_loop_goes_on_while_a_model_thinks(
    api: Anthropic, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C8, D16: the heart beats, a worker gets moves and its runs are taken in, another one is kept for the answer."""
    monkeypatch.setattr("evo.ops.loop.driver.BEAT_S", 0.1)
    monkeypatch.setattr("evo.ops.loop.ask.SOON_S", 0.1)
    assert evo_here("config set ideas.timeout 30s --json", cwd=workspace).code == 0
    assert evo_here("run exp_0000 --json", cwd=workspace).code == 0
    answer, seen = api.answer, []

    def thinks(request: dict[str, Any]) -> stub.Reply:
        seen.append(heartbeat(workspace)["timestamp"])
        deadline = time.monotonic() + 20
        while not (workspace / "experiments.jsonl").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        seen.append(heartbeat(workspace)["timestamp"])
        return answer(request)

    monkeypatch.setattr(api, "answer", thinks)
    lines = evo_here(f"{ASK} --workers 2 --json-lines", cwd=workspace)
    assert lines.code == 0, lines.err
    events = [json.loads(line) for line in lines.out.splitlines()]
    told = [(event["event"], event["pick"]["kind"]) for event in events if event.get("pick")]
    assert told.index(("ended", "move")) < told.index(("picked", "idea")), told
    assert seen[0] != seen[1], "the heart stood still while the model thought"
    assert events[-1]["data"]["experiments"] == 3


@pytest.mark.slow
def test_a_budget_for_the_model_that_is_spent_ends_ideas_alone(api: Anthropic, workspace: Path) -> None:
    """Tokens that no call fits into are a warning: experiments go on, and the cap holds."""
    assert evo_here("config set budget.llm-tokens 100 --json", cwd=workspace).code == 0
    done = evo_here(f"{ASK} --json", cwd=workspace).data
    assert (done["status"], done["experiments"]) == ("completed", 3)
    assert spent(workspace) == (0, 0)
    assert api.asked == []
