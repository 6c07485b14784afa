"""The plugin for coding agents: what its hooks let pass, what its files say, how it is installed."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from workspaces import clean_environment, evo, evo_apart, make_command_workspace

from evo.agent import hooks, paths
from evo.config import BudgetConfig
from evo.lightdata import replace
from evo.ops import arming
from evo.session import open_session

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = ROOT / "plugins" / "evo"
TOOLS = {"Bash", "Read", "Grep", "Glob", "Edit", "Write", "NotebookEdit", "WebSearch", "WebFetch", "Task", "TodoWrite"}
"""Tools of Claude Code that an agent of a plugin may name."""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = make_command_workspace(tmp_path_factory.mktemp("plugin") / "ws", "budget.attempts=5", n=60)
    os.symlink(made / ".evo" / "sealed", made / "link")
    os.link(made / ".evo" / "sealed" / "heldout.jsonl", made / "hard.jsonl")
    (made / "big.log").write_text("step\n" * 100_000)
    return made


def hook(event: str, cwd: Path, **payload: Any) -> dict[str, Any]:
    """What the launcher of the plugin says, as a client calls it."""
    done = subprocess.run(
        [PLUGIN / "bin" / "evo", "hook", event],
        input=json.dumps({"cwd": str(cwd), **payload}), cwd=cwd, env=environment(), capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout) if done.stdout.strip() else {}
    return found


def environment() -> dict[str, str]:
    return clean_environment(PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")


def decide(tool: str, cwd: Path, **given: str) -> str:
    """`deny` and why, or `allow`; in this process, as hooks answer."""
    said = hooks.pre_tool_use({"tool_name": tool, "tool_input": given}, paths.place_at(cwd))
    output: Any = said.get("hookSpecificOutput", {})
    return f"deny {output['permissionDecisionReason']}" if output.get("permissionDecision") == "deny" else "allow"


DENIED = r"""
cat .evo/sealed/heldout.jsonl
cat '.evo'/sea"led"/heldout.jsonl
cat ./.evo/../.evo/sealed/heldout.jsonl
cat link/heldout.jsonl
cat hard.jsonl
cat ../ws-gold.jsonl
cd .evo && cat sealed/heldout.jsonl
cd .evo/worktrees; head ../sealed/vault.jsonl
D=.evo; cat $D/sealed/heldout.jsonl
A=.evo; B=sealed; cat ${A}/${B}/x
cat $SOMEWHERE/.evo/sealed/heldout.jsonl
cat .e*/s*/h*
cat .evo/{sealed,x}/heldout.jsonl
cat .evo/*/heldout.jsonl
sqlite3 .evo/evo.db 'select 1'
sqlite3 'file:.evo/evo.db?mode=ro' .dump
python -c "print(open('.evo/sealed/heldout.jsonl').read())"
python -c "import os; print(open(os.path.join('.evo', 'sealed', 'heldout.jsonl')).read())"
bash -c 'cat .evo/sealed/heldout.jsonl'
echo "$(< .evo/sealed/heldout.jsonl)"
x=`cat .evo/evo.db`
for f in .evo/sealed/*; do cat $f; done
dd if=.evo/evo.db of=copy
curl -d @.evo/sealed/heldout.jsonl http://127.0.0.1
timeout 5 cat .evo/sealed/heldout.jsonl
cat .evo/evo.db-wal
evo log > .evo/evo.db
cp -r .evo elsewhere
rm -rf .evo
git clean -fdx
""".strip().splitlines()
ALLOWED = r"""
ls .evo
evo status
evo note exp_0000 --insight 'never read .evo/sealed'
git commit -m 'never read .evo/sealed or evo.db'
cat data/dev.jsonl
sed -n 1,20p .evo/worktrees/exp_0001/recipe/train.py
rm -rf .evo/worktrees/exp_0001/tmp
for f in *; do echo $f; done
cat $FILE
python train.py --data data/train.jsonl
rsync -a --exclude .evo . elsewhere
""".strip().splitlines()


def test_the_shell_of_an_agent_does_not_reach_sealed_files(workspace: Path) -> None:
    """D15: sealed items, the gold file and the database, however they are spelled; all else is let through."""
    passed = [line for line in DENIED if decide("Bash", workspace, command=line) == "allow"]
    stopped = [line for line in ALLOWED if decide("Bash", workspace, command=line) != "allow"]
    assert (passed, stopped) == ([], [])


def test_a_line_that_is_no_shell_is_read_without_an_error(workspace: Path) -> None:
    """Whatever a model writes: unclosed quotes, loops of links, names that are none."""
    atoms = [".evo", "/", "..", "*", "[", "{", "}", ",", "$", "$(", ")", "`", "'", '"', "\\", "\n", ";", "|", "<", ">"]
    atoms += [
        "<<EOF",
        "cat",
        "cd",
        "grep -r",
        "find",
        "bash -c",
        "for",
        "in",
        "=",
        "A=",
        "~",
        "\0",
        "!",
        "${A:-x}",
        " ",
    ]
    draw = random.Random(0)
    for _ in range(500):
        decide("Bash", workspace, command="".join(draw.choices(atoms, k=draw.randint(1, 14))))


def test_broad_scans_and_huge_logs_are_pointed_elsewhere(workspace: Path) -> None:
    """D17: a walk through `.evo` or a huge file as a whole is denied, with the command that does it well."""
    for line in ("grep -rn loss .", "find . -name '*.log' -exec cat {} +", "find / -name x", "ls -R", "rg -uu loss"):
        assert "git grep" in decide("Bash", workspace, command=line), line
    assert "evo log EXP --tail 50" in decide("Bash", workspace, command="cat big.log")
    for line in (
        "grep -rn loss data",
        "grep -rn loss . --exclude-dir=.evo",
        "tail -n 50 big.log",
        "cat big.log | wc -l",
    ):
        assert decide("Bash", workspace, command=line) == "allow", line


def test_file_tools_do_not_reach_sealed_files(workspace: Path) -> None:
    sealed, free = f"{workspace}/.evo/sealed/heldout.jsonl", f"{workspace}/data/dev.jsonl"
    for tool, key in (
        ("Read", "file_path"),
        ("Edit", "file_path"),
        ("NotebookEdit", "notebook_path"),
        ("Grep", "path"),
    ):
        assert "evo failures EXP" in decide(tool, workspace, **{key: sealed}), tool
        assert decide(tool, workspace, **{key: free}) == "allow", tool
    assert "evo backup" in decide("Write", workspace, file_path=".evo/evo.db")
    assert decide("Read", workspace, file_path="link/vault.jsonl") != "allow"
    assert decide("Glob", workspace, pattern=".evo/**/*.jsonl") != "allow"
    assert decide("Grep", workspace, pattern="x", glob=".evo/sealed/*") != "allow"
    assert decide("Grep", workspace, pattern="x", path=".evo") != "allow"
    assert decide("Grep", workspace, pattern="sealed", glob="*.py") == "allow"
    assert decide("apply_patch", workspace, input="*** Begin Patch\n*** Update File: .evo/evo.db\n") != "allow"


def test_outside_a_workspace_a_hook_says_nothing(tmp_path: Path, workspace: Path) -> None:
    (tmp_path / ".evo" / "sealed").mkdir(parents=True)
    assert decide("Bash", tmp_path, command="cat .evo/sealed/x; grep -r x .") == "allow"
    assert hook("session-start", tmp_path) == {}
    assert hook("stop", tmp_path) == {}
    assert decide("Read", tmp_path, file_path=f"{workspace}/.evo/sealed/heldout.jsonl") != "allow", "by its own place"


def test_a_hook_never_stops_its_client(workspace: Path, tmp_path: Path) -> None:
    """Neither a payload that is none, nor a broken database, nor an unknown event."""
    broken = tmp_path / "broken"
    (broken / ".evo").mkdir(parents=True)
    (broken / "evo.yaml").write_text("model: [")
    (broken / ".evo" / "evo.db").write_text("no database")
    for event, cwd, text in (
        ("pre-tool-use", workspace, "{"),
        ("stop", workspace, "[]"),
        ("bogus", workspace, "{}"),
        ("session-start", broken, json.dumps({"cwd": str(broken)})),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "evo", "hook", event], input=text, cwd=cwd, env=clean_environment(),
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stdout) == (0, ""), event
        assert "nothing is stopped" in done.stderr, event


def test_the_brief_comes_at_the_start_and_after_memory_was_cut(workspace: Path) -> None:
    """A21, D2: the page that `evo brief` prints, with the stage; constraints word for word."""
    said = hook("session-start", workspace, source="compact")["hookSpecificOutput"]
    text = said["additionalContext"]
    assert said["hookEventName"] == "SessionStart"
    assert text.startswith("Memory was cut")
    printed = evo_apart("brief", cwd=workspace, json_=False).out
    assert printed.strip() in text
    assert "stage 1: base evaluation" in text


def test_what_the_person_says_comes_with_every_call_of_evo_until_it_is_acknowledged(workspace: Path) -> None:
    evo("direct", "stay below rank 16", cwd=workspace)
    for event, payload in (
        ("pre-tool-use", {"tool_name": "Bash", "tool_input": {"command": "cd . && evo status --json | head"}}),
        ("user-prompt-submit", {"prompt": "go on"}),
    ):
        assert "stay below rank 16" in hook(event, workspace, **payload)["hookSpecificOutput"]["additionalContext"]
    evo("ack", "1", cwd=workspace)
    assert hook("user-prompt-submit", workspace, prompt="go on") == {}


def test_an_armed_loop_asks_for_rounds_while_there_are_rounds_and_budget(workspace: Path) -> None:
    """The stop hook honours `stop_hook_active`: an agent that a hook keeps, and that starts nothing, may stop."""
    assert hook("stop", workspace) == {}, "nobody has armed it"
    assert evo("plugin", "arm", "--rounds", "2", "--for", "1h", cwd=workspace).data["rounds_left"] == 2
    first = hook("stop", workspace, stop_hook_active=False)
    assert first["decision"] == "block"
    assert "1 rounds are left" in first["reason"]
    assert hook("stop", workspace, stop_hook_active=True) == {}, "it has started nothing"
    assert evo("run", "exp_0000", cwd=workspace).code == 0
    assert hook("stop", workspace, stop_hook_active=True)["decision"] == "block", "it has worked"
    assert hook("stop", workspace, stop_hook_active=False) == {}, "no round is left"
    assert evo("plugin", "arm", "--rounds", "0", cwd=workspace).code == 2


def test_a_spent_budget_and_a_past_time_end_the_rounds(workspace: Path) -> None:
    with open_session(workspace, readonly=True) as session:
        arming.arm(session.layout, rounds=5)
        spent = replace(session, config=replace(session.config, budget=BudgetConfig(wall_clock="1ms")))
        assert arming.ask_round(spent, is_continuing=False).why == "the budget of wall seconds is spent"
        (arming.armed_file(session.layout)).write_text('{"rounds_left": 5, "until": "2020-01-01T00:00:00Z"}')
        assert arming.ask_round(session, is_continuing=False).why == "armed until 2020-01-01T00:00:00Z"
    assert evo("plugin", "disarm", cwd=workspace).data["armed"] is False


def test_a_hook_is_fast(workspace: Path) -> None:
    """At most 150 ms before every tool: of a core, the best of five, since other tests run beside this one."""
    took = []
    for _ in range(5):
        began = os.times()
        hook("pre-tool-use", workspace, tool_name="Bash", tool_input={"command": "cat data/dev.jsonl"})
        ended = os.times()
        took.append(ended.children_user + ended.children_system - began.children_user - began.children_system)
    assert 0 < min(took) < 0.15


def test_skills_are_short_and_named_as_clients_want() -> None:
    """D1–D3, D18: one folder of skills for every client; at most 25 kB in all."""
    pages = sorted(PLUGIN.glob("skills/*/SKILL.md"))
    names = {"finetuning", "discover", "optimize", "subagent", "ideator", "design-data"}
    assert {page.parent.name for page in pages} == names
    for page in pages:
        head, body = re.fullmatch(r"---\n(.*?)\n---\n(.*)", page.read_text(), re.DOTALL).groups()  # type: ignore[union-attr]
        fields = dict(line.split(": ", 1) for line in head.splitlines())
        assert fields["name"] == page.parent.name
        assert re.fullmatch(r"[a-z0-9-]{1,64}", fields["name"])
        assert len(fields["description"]) <= 1024
        assert not set("<>") & set(fields["description"])
        assert body.count("\n") < 500
    assert sum(page.stat().st_size for page in pages) <= 25_000
    optimize = (PLUGIN / "skills" / "optimize" / "SKILL.md").read_text()
    steps = [optimize.index(f"**{word}") for word in ("Plan", "Data", "Branch", "Train and evaluate", "Log and learn")]
    assert steps == sorted(steps), "D1: in this order"
    assert "stages are\nnot skipped" in optimize
    assert "executes nothing" in optimize
    finetuning = (PLUGIN / "skills" / "finetuning" / "SKILL.md").read_text()
    assert "RL from the base, without SFT before it, is a legal first move" in finetuning, "A2"


def test_agents_name_tools_that_exist() -> None:
    for page in PLUGIN.glob("agents/*.md"):
        fields = dict(line.split(": ", 1) for line in page.read_text().split("---\n")[1].splitlines())
        assert fields["name"] == page.stem
        assert set(fields["tools"].split(", ")) <= TOOLS - {"Edit", "Write"}, "they change nothing"
        assert not {"permissionMode", "hooks", "mcpServers"} & set(fields), "which agents of plugins ignore"


def test_manifests_agree_with_what_lies_there() -> None:
    """What the client's validator misses: versions, MCP servers, paths, names across files."""
    for name in (".claude-plugin", ".codex-plugin"):
        manifest = json.loads((PLUGIN / name / "plugin.json").read_text())
        assert manifest["name"] == "evo"
        assert re.fullmatch(r"\d+\.\d+\.\d+", manifest["version"])
        named = [manifest.get(key, []) for key in ("skills", "agents", "mcpServers", "hooks")]
        for path in (one for entry in named for one in ([entry] if isinstance(entry, str) else entry)):
            assert path.startswith("./"), path
            assert (PLUGIN / path).exists(), path
    version = re.search(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version is not None
    assert manifest["version"] == version[1]
    servers = json.loads((PLUGIN / ".mcp.json").read_text())["mcpServers"]
    assert servers == {"evo": {"command": "evo", "args": ["mcp"]}}
    for event in json.loads((PLUGIN / "hooks" / "hooks.json").read_text())["hooks"].values():
        for entry in event[0]["hooks"]:
            assert re.fullmatch(r'"\$\{CLAUDE_PLUGIN_ROOT\}/bin/evo" hook [a-z-]+', entry["command"])
    for place in (".claude-plugin", ".agents/plugins"):
        listed = json.loads((ROOT / place / "marketplace.json").read_text())["plugins"]
        source = listed[0]["source"]
        assert (ROOT / (source if isinstance(source, str) else source["path"])).samefile(PLUGIN)


def test_an_installation_leaves_edited_files_alone(tmp_path: Path) -> None:
    """D18: the files are copied to where any client finds them; again, they are renewed, but for what a user edited."""
    folder = tmp_path / "with space"
    words = ("plugin", "install", "--dir", folder)
    dry = evo(*words, "--dry-run", cwd=tmp_path).data
    assert dry["written"]
    assert not folder.exists()
    assert evo(*words, cwd=tmp_path).data["written"] == dry["written"]
    assert os.access(folder / "plugins" / "evo" / "bin" / "evo", os.X_OK)
    edited, old, gone = (
        folder / "plugins" / "evo" / name for name in ("skills/optimize/SKILL.md", ".mcp.json", "skills/old/SKILL.md")
    )
    edited.write_text("mine")
    manifest = folder / ".evo-plugin.json"
    known = json.loads(manifest.read_text())
    for path in (old, gone):  # as an older version of evo would have written them
        path.parent.mkdir(exist_ok=True)
        path.write_text("{}")
        known["files"][str(path.relative_to(folder))] = (
            "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
        )
    manifest.write_text(json.dumps(known))
    again = evo(*words, cwd=tmp_path)
    assert again.data["kept"] == ["plugins/evo/skills/optimize/SKILL.md"]
    assert edited.read_text() == "mine"
    assert again.data["written"] == ["plugins/evo/.mcp.json"]
    assert not gone.parent.exists()
    left = evo("plugin", "uninstall", "--dir", folder, cwd=tmp_path).data
    assert left["kept"] == ["plugins/evo/skills/optimize/SKILL.md"]
    assert [path.name for path in folder.rglob("*") if path.is_file()] == ["SKILL.md"]
    assert evo("plugin", "uninstall", "--dir", folder, cwd=tmp_path).code == 3
    assert evo("plugin", "install", cwd=tmp_path).code == 2
