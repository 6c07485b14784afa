"""`evo mcp` with a client of the official SDK, and as bare lines on its pipes."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client, StdioServerParameters, stdio_client
from workspaces import SCORE, clean_environment, evo_here, make_command_workspace, new, skilled

from evo.agent import mcp
from evo.agent.tools import TOOLS, input_schema, words
from evo.cli.commands import BY_NAME

ASKED = {"status", "tree", "show", "brief", "next", "new", "run", "wait", "diff", "failures", "discard", "note",
         "diagnose", "ideate", "ideas-take", "ack"}  # fmt: skip
ENDLESS = "argv=sleep 60"
SLOWLY = """argv=sh -c 'sleep 1.6; echo 0.9 > "$EVO_CHECKPOINT_DIR/skill.txt"'"""


def talk(workspace: Path, conversation: Callable[[Client], Awaitable[None]]) -> None:
    """One server, started in `workspace` by the official client, for the length of a conversation."""
    words = [sys.executable, "-m", "evo", "mcp"]
    start = StdioServerParameters(command=words[0], args=words[1:], cwd=workspace, env=clean_environment())

    async def main() -> None:
        with anyio.fail_after(100):
            async with Client(stdio_client(start)) as client:
                await conversation(client)

    anyio.run(main)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scored baseline and a cap, so that every reply has something to say of the budget."""
    folder = make_command_workspace(tmp_path_factory.mktemp("mcp") / "ws", "budget.attempts=9", n=150)
    assert evo_here("run exp_0000", cwd=folder).code == 0
    return folder


@pytest.fixture(scope="module")
def ungated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scored baseline, and runs that end with their score."""
    folder = make_command_workspace(tmp_path_factory.mktemp("mcp") / "plain", "gate.mode=none", "run.slots=4", n=60)
    assert evo_here("run exp_0000", cwd=folder).code == 0
    return folder


def document(workspace: Path, *words: str) -> dict[str, Any]:
    """What the same command prints under `--json`."""
    return evo_here(" ".join([*words, "--json"]), cwd=workspace).document


def sealed_texts(workspace: Path) -> list[str]:
    rows = [
        json.loads(line)
        for name in ("heldout", "vault")
        for line in (workspace / ".evo/sealed" / f"{name}.jsonl").read_text().splitlines()
    ]
    return [row["prompt"] for row in rows if "prompt" in row]


def test_a_client_grows_a_node_and_reads_what_the_command_line_prints(workspace: Path) -> None:
    """The official client lists the tools and grows a committed node; each reply is the envelope of the command, and
    nothing of it comes from the sealed splits."""
    said: list[str] = []
    progress: list[str] = []

    async def heard(done: float, total: float | None, message: str | None) -> None:
        progress.append(str(message))

    async def conversation(client: Client) -> None:
        async def call(name: str, **arguments: object) -> dict[str, Any]:
            answer = await client.call_tool(name, arguments, progress_callback=heard)
            found = answer.structured_content
            assert isinstance(found, dict)
            assert (answer.is_error, json.loads(answer.content[0].text)) == (not found["ok"], found)
            said.append(answer.content[0].text)
            return found

        listed = (await client.list_tools()).tools
        assert {tool.name for tool in listed} == set(TOOLS) == ASKED
        assert all(tool.description and tool.output_schema for tool in listed)

        about = {"recipe": "command", "parent": "exp_0000", "hypothesis": "gains 0.3 or more", "set": [SLOWLY]}
        made = await call("new", **about)
        assert (made["data"]["id"], made["data"]["created"]) == ("exp_0001", True)
        assert (await call("new", **about))["data"] == {**made["data"], "created": False}
        begun = await call("run", exp="exp_0001")
        assert (begun["data"]["running"], begun["data"]["score"]) == (True, None)
        waited = await call("wait", exp=["exp_0001"])
        assert "certified against exp_0000" in waited["data"]["messages"]["exp_0001"]
        assert waited["budget"]["attempts"] == {"cap": 9, "spent": 1, "reserved": 0, "left": 8}
        assert any(line.startswith("exp_0001 training") for line in progress)

        for name, arguments, line in (
            ("status", {}, "status"),
            ("tree", {"from": "exp_0001", "limit": 1}, "tree --from exp_0001 --limit 1"),
            ("show", {"exp": 1}, "show exp_0001"),
            ("brief", {}, "brief"),
            ("next", {"limit": 2}, "next --limit 2"),
            ("diff", {"exp": "exp_0001", "stat": True}, "diff exp_0001 --stat"),
            ("failures", {"exp": "exp_0000", "limit": 5}, "failures exp_0000 --limit 5"),
            ("diagnose", {}, "diagnose"),
            ("diagnose", {"exp": "exp_0001"}, "diagnose exp_0001"),
            ("note", {"exp": "exp_0001", "text": "wide", "key": "k"}, "note exp_0001 wide --key k"),
            ("new", {"recipe": "x", "hypothesis": "y"}, "new --recipe x -m y"),
            ("show", {"exp": "exp_0099"}, "show exp_0099"),
            ("discard", {"exp": "exp_0001", "reason": "no"}, "discard exp_0001 --reason no"),
            ("wait", {"for": "gpus"}, "wait --for gpus"),
            ("ideas-take", {"id": 99}, "ideas take 99"),
            ("ack", {"id": 99}, "ack 99"),
        ):
            ours = await call(name, **arguments)
            theirs = document(workspace, line)
            assert ours == theirs, line
            assert ours["ok"] or set(ours["error"]) == {"code", "message", "hint"}
            assert "budget" in ours or ours["error"]["code"] == "usage", line

        ideas = (await call("ideate", brief="control", k=1))["data"]
        assert (ideas["brief"], len(ideas["ideas"]) <= 1) == ("control", True)

    talk(workspace, conversation)
    whole = "\n".join(said)
    assert len(sealed_texts(workspace)) > 50
    assert not [text for text in sealed_texts(workspace) if text in whole]


def test_many_calls_at_once_make_no_node_twice_and_run_none_twice(ungated: Path) -> None:
    """Subagents share one server: their calls are answered at once, each by itself."""
    found: list[dict[str, Any]] = []

    async def conversation(client: Client) -> None:
        async def call(name: str, arguments: dict[str, object]) -> None:
            answer = await client.call_tool(name, arguments)
            assert isinstance(answer.structured_content, dict)
            found.append(answer.structured_content)

        for calls in (
            [("new", {"recipe": "command", "hypothesis": f"h{n}", "set": [skilled(f"0.{n}")]}) for n in range(3, 8)],
            [("run", {"next": True})] * 5 + [("status", {})] * 5,
        ):
            async with anyio.create_task_group() as crowd:
                for name, arguments in calls:
                    crowd.start_soon(call, name, arguments)
        await call("wait", {})

    talk(ungated, conversation)
    assert [reply.get("error") for reply in found] == [None] * 16
    made = {reply["data"]["id"] for reply in found[:5]}
    ran = [reply["data"]["id"] for reply in found[5:15] if "worktree" in reply["data"]]
    assert (len(made), sorted(ran)) == (5, sorted(made))
    tried = [document(ungated, "show", name)["data"] for name in made]
    assert [(len(one["attempts"]), one["attempts"][0]["outcome"]) for one in tried] == [(1, "ok")] * 5


def test_a_client_that_cancels_is_let_go_and_the_run_goes_on(ungated: Path) -> None:
    """A long wait holds up no other call; cancelled, it ends, and what it waited for does not."""
    slow = new(ungated, ENDLESS, "slow", "--parent", "exp_0000")

    async def conversation(client: Client) -> None:
        assert not (await client.call_tool("run", {"exp": slow})).is_error
        began = time.monotonic()
        with anyio.move_on_after(0.3) as patience:
            await client.call_tool("wait", {"exp": [slow]})
        assert patience.cancelled_caught
        status = (await client.call_tool("status", {})).structured_content
        assert [entry["id"] for entry in status["data"]["running"]] == [slow]
        assert time.monotonic() - began < 20

    talk(ungated, conversation)
    assert evo_here(f"abort {slow}", cwd=ungated).code == 0


def lines_of(folder: Path, *calls: tuple[str, dict[str, object]], until: int) -> tuple[list[Any], float, int]:
    """Bare lines: what the server writes to `until` replies, how long it lives after stdin is closed, its exit code."""
    server = subprocess.Popen(
        [sys.executable, "-m", "evo", "mcp"],
        cwd=folder, env=clean_environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    about = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "bare", "version": "1"}}
    sent: list[dict[str, object]] = [
        {"id": 0, "method": "initialize", "params": about},
        {"method": "notifications/initialized"},
        *(
            {"id": number, "method": "tools/call", "params": {"name": name, "arguments": arguments}}
            for number, (name, arguments) in enumerate(calls, start=1)
        ),
    ]
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write("".join(json.dumps({"jsonrpc": "2.0", **message}) + "\n" for message in sent))
    server.stdin.flush()
    lines = [server.stdout.readline() for _ in range(until)]
    closed = time.monotonic()
    rest, _ = server.communicate(timeout=60)
    return [*map(json.loads, [*lines, *rest.splitlines()])], time.monotonic() - closed, server.returncode


def test_nothing_but_the_protocol_is_on_its_pipes(tmp_path: Path) -> None:
    """Whatever a command starts writes elsewhere; and a server whose client is gone ends, in the middle of a wait."""
    noise = 'print("noise", flush=True)\nimport os\nos.write(1, b"more noise\\n")\n'
    workspace = make_command_workspace(tmp_path / "ws", "gate.mode=none", n=60, score=noise + SCORE)
    found, seconds, code = lines_of(workspace, ("run", {"exp": "exp_0000"}), until=2)
    assert [message["jsonrpc"] for message in found] == ["2.0", "2.0"]
    assert (found[1]["id"], found[1]["result"]["isError"], code) == (1, False, 0)
    slow = new(workspace, ENDLESS, "slow", "--parent", "exp_0000")
    assert evo_here(f"run {slow} --detach", cwd=workspace).code == 0
    found, seconds, code = lines_of(workspace, ("wait", {}), until=1)
    assert (code, seconds < 20) == (0, True)
    assert not [message for message in found if message["id"] == 1 and "result" in message], found
    assert evo_here(f"abort {slow}", cwd=workspace).code == 0


def test_outside_a_workspace_it_says_so(tmp_path: Path) -> None:
    """The plugin starts it wherever a client is opened."""
    found, _, code = lines_of(tmp_path, ("status", {}), until=2)
    error = found[1]["result"]["structuredContent"]["error"]
    assert (code, error["code"], found[1]["result"]["isError"]) == (0, "no_workspace", True)
    assert error == document(tmp_path, "status")["error"]


def test_what_is_no_tool_is_out_of_reach(workspace: Path) -> None:
    """No word of a caller reaches a command that is no tool or an option that a tool goes without, or is an option."""
    for name in (*sorted(set(BY_NAME) - set(TOOLS)), "sql"):
        assert mcp.answer(name, {})["ok"] is False, name
    assert mcp.answer("release", {})["error"] == {
        "code": "refused", "message": "release is no tool", "hint": "evo release is a command, for a shell"
    }  # fmt: skip
    with contextlib.chdir(workspace):
        for name, arguments, message in (
            ("run", {"executor": "inline", "exp": "exp_0000"}, "run has no argument 'executor'"),
            ("run", {"exp": "--json-lines"}, "'--json-lines' is not an experiment"),
            ("show", {"exp": "exp_0000", "limit": 3}, "show has no argument 'limit'"),
            ("tree", {"limit": True}, "limit: True is no text and no number"),
            ("diff", {"exp": "exp_0000", "stat": "yes"}, "stat is true or false, not 'yes'"),
            ("show", {"exp": ["exp_0000"]}, "exp: ['exp_0000'] is no text and no number"),
        ):
            answer = mcp.answer(name, arguments)
            assert (answer["error"]["code"], message in answer["error"]["message"]) == ("usage", True), answer
        assert mcp.answer("note", {"exp": "exp_0000", "text": "--help"})["data"]["facts"]["note"] == "--help"


def test_the_schemas_are_the_parsers(workspace: Path) -> None:
    """Required, kinds, bounds and defaults come from the command, and a call becomes its words."""
    new_ = input_schema("new")
    assert new_["required"] == ["recipe", "hypothesis"]
    assert new_["properties"]["set"] == {
        "type": "array", "items": {"type": "string"}, "description": "KEY=VALUE: A parameter."
    }  # fmt: skip
    limit = input_schema("tree")["properties"]["limit"]
    assert (limit["type"], limit["minimum"], limit["default"]) == ("integer", 1, 50)
    assert input_schema("wait")["properties"]["timeout"]["default"] == "50"
    assert input_schema("run")["properties"]["next"]["type"] == "boolean"
    assert not {"detach", "executor"} & set(input_schema("run")["properties"])
    assert words("ideate", {"k": 3, "brief": "control"}) == ["ideate", "-k3", "--brief=control"]
    assert words("ideas-take", {"id": 3, "parent": "exp_0001"}) == ["ideas", "take", "--parent=exp_0001", "--", "3"]
    assert words("run", {"exp": 7, "rerun": False}) == ["run", "--detach", "--", "7"]
    assert words("wait", {"exp": ["1", "-2"]}) == ["wait", "--timeout=50", "--", "1", "-2"]


def test_a_reply_is_bounded(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list that would be too long is the command's own reply under a smaller limit, and says so."""
    monkeypatch.setattr(mcp, "MOST_CHARS", 2000)
    with contextlib.chdir(workspace):
        answer = mcp.answer("failures", {"exp": "exp_0000", "limit": "40"})
    assert len(json.dumps(answer)) < 2200
    assert answer["warnings"][-1].startswith("cut to a limit of ")
    limit = len(answer["data"]["items"])
    assert 1 < limit < 20
    assert answer["data"] == document(workspace, "failures", "exp_0000", "--limit", str(limit))["data"]


def test_without_the_library_the_pip_line_is_shown(tmp_path: Path) -> None:
    page = "import sys; sys.modules['mcp'] = None; from evo.cli.app import run; sys.exit(run(['mcp']))"
    ran = subprocess.run(
        [sys.executable, "-c", page], cwd=tmp_path, env=clean_environment(), capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stdout) == (4, "")
    assert "pip install 'evo-tree[mcp]'" in ran.stderr
