"""The plugin in the real clients, offline: Claude Code and Codex, each driven by a stand-in for its model.

The clients come from npm into a folder that EVO_TEST_CLIENTS names (`.ci/run` does it), or are on the PATH.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import responses_stub
from messages_stub import Script, serving
from workspaces import Answer, clean_environment, evo, make_command_workspace

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = ROOT / "plugins" / "evo"
pytestmark = pytest.mark.slow


def client(name: str) -> Path:
    """The client's program; without it the test is skipped, by name."""
    folder = os.environ.get("EVO_TEST_CLIENTS", "")
    found = shutil.which(name, path=f"{folder}/node_modules/.bin{os.pathsep}{os.environ['PATH']}")
    if found is None:
        pytest.skip(f"{name} IS NOT HERE, SO THE PLUGIN WAS NOT TRIED IN IT: npm could not serve it to .ci/run")
    return Path(found)


def environment(home: Path, **more: str) -> dict[str, str]:
    home.mkdir(exist_ok=True)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    quiet = {"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "DISABLE_AUTOUPDATER": "1", "IS_SANDBOX": "1"}
    foreign = ("ANTHROPIC_", "CLAUDE", "CODEX_", "OPENAI_", "XDG_")
    kept = {key: value for key, value in clean_environment().items() if not key.startswith(foreign)}
    return kept | quiet | {"HOME": str(home), "PATH": path} | more


def call(*words: str | Path, home: Path, cwd: Path, **more: str) -> str:
    done = subprocess.run(
        [*map(str, words)], cwd=cwd, env=environment(home, **more), capture_output=True, text=True, timeout=200,
        check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def drive(script: Script, workspace: Path, *, allowed: str, plugin: Path = PLUGIN) -> None:
    """`claude -p` in the workspace, with the script as its model."""
    with serving(script) as address:
        call(
            client("claude"), "-p", "improve the model", "--plugin-dir", plugin, "--output-format", "stream-json",
            "--verbose", "--allowedTools", allowed,
            home=workspace.parent / "home", cwd=workspace, ANTHROPIC_BASE_URL=address, ANTHROPIC_API_KEY="none",
        )  # fmt: skip


def test_claude_finds_plugin_and_marketplace_valid(tmp_path: Path) -> None:
    claude = client("claude")
    for folder in (PLUGIN, ROOT):
        assert "Validation passed" in call(
            claude, "plugin", "validate", "--strict", folder, home=tmp_path, cwd=tmp_path
        )


def test_claude_grows_a_committed_node_and_is_kept_from_sealed_files(tmp_path: Path) -> None:
    """D18, A21, D15: skill loaded, brief injected, new, run, wait, show by Bash, sealed files denied, MCP answered."""
    workspace = make_command_workspace(tmp_path / "ws", n=150)
    train = """argv=sh -c 'echo 0.85 > "$EVO_CHECKPOINT_DIR/skill.txt"'"""
    sealed = workspace / ".evo" / "sealed" / "heldout.jsonl"
    script = Script(
        [
            ("Skill", {"skill": "evo:optimize"}),
            (
                "Bash",
                {"command": f"evo new --recipe command -m better --set '{quoted(train)}'", "description": "branch"},
            ),
            ("Bash", {"command": "evo run exp_0001 --detach && evo wait exp_0001 --timeout 100", "description": "run"}),
            ("Bash", {"command": "evo show exp_0001 --json", "description": "look"}),
            ("Read", {"file_path": str(sealed)}),
            ("Bash", {"command": "cd .evo && cat s*/held*", "description": "peek"}),
            ("mcp__plugin_evo_evo__status", {}),
            "done",
        ]
    )
    drive(script, workspace, allowed="Bash,Read,Skill,mcp__plugin_evo_evo__status")
    skill, new, run, show, read, peek, status = script.results()
    assert "stage 1: base evaluation" in script.said(), "the brief came at the start"
    assert "Log and learn" in script.said(), f"the skill was loaded: {skill}"
    assert "exp_0001" in new
    assert '\\"state\\": \\"committed\\"' in show.replace("\\\\", "\\"), show + run
    for said in (read, peek):
        assert "answer one bit at a time" in said
        assert "question" not in said
    assert "committed" in status
    assert evo("status", cwd=workspace).data["committed"] == "exp_0001"


def test_without_the_hooks_the_same_read_would_succeed(tmp_path: Path) -> None:
    """So the test above is known to bite: it is the plugin's hook that denies, and nothing else of the client."""
    workspace = make_command_workspace(tmp_path / "ws", n=60)
    bare = tmp_path / "bare"
    shutil.copytree(PLUGIN, bare, ignore=shutil.ignore_patterns("hooks"))
    script = Script([("Read", {"file_path": str(workspace / ".evo" / "sealed" / "heldout.jsonl")}), "done"])
    drive(script, workspace, allowed="Read", plugin=bare)
    assert "question" in script.results()[0]
    assert "stage 1" not in script.said(), "nor does the brief come"


def test_claude_is_asked_for_another_round_while_the_loop_is_armed(tmp_path: Path) -> None:
    workspace = make_command_workspace(tmp_path / "ws", n=60)
    evo("plugin", "arm", "--rounds", "3", cwd=workspace)
    evo("direct", "stay below rank 16", cwd=workspace)
    script = Script(["I stop.", ("Bash", {"command": "evo status", "description": "look"}), "I stop again."])
    drive(script, workspace, allowed="Bash")
    assert len(script.asked) == 3, "one more round, and no third: it had started nothing"
    assert "The loop is armed: one more round" in script.said()
    assert "stay below rank 16" in script.said()


def plugin(*words: str, program: Path, home: Path) -> Answer:
    """`evo plugin …` where the client is found, writing below `home`."""
    env = environment(home)
    env["PATH"] = f"{program.parent}{os.pathsep}{env['PATH']}"
    done = subprocess.run(
        [sys.executable, "-m", "evo", "plugin", *words, f"--{program.name}", "--json"],
        env=env, cwd=home.parent, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    return Answer(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize("name", ["claude", "codex"])
def test_a_client_installs_it_from_what_evo_has_written(tmp_path: Path, name: str) -> None:
    """D18: installed, renewed, taken away; taken away too where the client has forgotten it by itself."""
    program, home = client(name), tmp_path / "home"
    written = home / ".local" / "share" / "evo" / "plugin"
    for verb in ("install", "install", "uninstall"):
        done = plugin(verb, program=program, home=home)
        assert all(step.startswith("done: ") for step in done.data["steps"]), done.out
        listed = call(program, "plugin", "list", home=home, cwd=tmp_path)
        assert any("evo@evo" in line and "not installed" not in line for line in listed.splitlines()) == (
            verb == "install"
        ), listed
        assert written.exists() == (verb == "install")
        owed = [said for said in done.document["warnings"] if "/hooks" in said]
        assert len(owed) == (name == "codex" and verb == "install")
    plugin("install", program=program, home=home)
    call(program, "plugin", "marketplace", "remove", "evo", home=home, cwd=tmp_path)
    forgotten = plugin("uninstall", program=program, home=home)
    assert forgotten.code == 0, forgotten.out
    assert any("not done: " in step and "marketplace remove" in step for step in forgotten.data["steps"])
    assert not written.exists()


def test_a_client_that_knows_another_evo_says_so_in_its_own_words(tmp_path: Path) -> None:
    """Codex refuses a second marketplace of the same name, and may print a backtrace after it."""
    codex, home = client("codex"), tmp_path / "home"
    call(codex, "plugin", "marketplace", "add", ROOT, home=home, cwd=tmp_path)
    refused = plugin("install", program=codex, home=home)
    assert refused.code == 6
    assert "'evo' is already added from a different source" in refused.error["message"]


def test_codex_takes_the_same_tree(tmp_path: Path) -> None:
    """D18: a second client over the same skills, agents and hooks."""
    codex = client("codex")
    call(codex, "plugin", "marketplace", "add", ROOT, home=tmp_path / "home", cwd=tmp_path)
    call(codex, "plugin", "add", "evo@evo", home=tmp_path / "home", cwd=tmp_path)
    listed = call(codex, "plugin", "list", "--json", home=tmp_path / "home", cwd=tmp_path)
    assert '"evo@evo"' in listed
    copied = {path.parent.name for path in (tmp_path / "home" / ".codex").rglob("SKILL.md")}
    assert {path.parent.name for path in PLUGIN.glob("skills/*/SKILL.md")} <= copied


def drive_codex(script: responses_stub.Script, workspace: Path, *flags: str) -> None:
    """`codex exec` in the workspace, with the script as its model, the plugin as `evo plugin install` left it."""
    with responses_stub.serving(script) as address:
        served = f'{{name="stub",base_url="{address}",wire_api="responses",env_key="STUB_KEY",request_max_retries=0}}'
        call(
            client("codex"), "exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", *flags,
            "-c", "model=stub", "-c", "model_provider=stub", "-c", f"model_providers.stub={served}", "go on",
            home=workspace.parent / "home", cwd=workspace, STUB_KEY="none",
        )  # fmt: skip


def test_codex_grows_a_committed_node_and_is_kept_from_sealed_files_once_its_user_trusts_the_hooks(
    tmp_path: Path,
) -> None:
    """D18, A21, D15: skills listed, brief injected, new, run, wait by its shell, sealed files denied, MCP served. And
    without trust the same read succeeds: it is the plugin's hook that denies."""
    workspace, codex = make_command_workspace(tmp_path / "ws", n=150), client("codex")
    assert plugin("install", program=codex, home=tmp_path / "home").code == 0
    (tmp_path / "home" / ".profile").write_text(f'PATH="{Path(sys.executable).parent}:$PATH"\n')  # its shell is a login
    read = ("exec_command", {"cmd": "cat .evo/sealed/heldout.jsonl"})
    setting = quoted("""argv=sh -c 'echo 0.85 > "$EVO_CHECKPOINT_DIR/skill.txt"'""")
    wait = "evo run exp_0001 --detach && evo wait exp_0001 --timeout 100"
    script = responses_stub.Script(
        [
            ("exec_command", {"cmd": f"evo new --recipe command -m better --set '{setting}'"}),
            ("exec_command", {"cmd": wait, "yield_time_ms": 100_000}),
            read,
            "done",
        ]
    )
    drive_codex(script, workspace, "--dangerously-bypass-hook-trust")
    new, _, denied = script.results()
    assert "stage 1: base evaluation" in script.said(), "the brief came at the start"
    assert "evo:optimize" in script.said(), "the skills are listed"
    assert any("mcp__evo" in tool for tool in script.tools())
    assert "exp_0001" in new
    assert "answer one bit at a time" in denied
    assert "question" not in denied
    assert evo("status", cwd=workspace).data["committed"] == "exp_0001"

    untrusting = responses_stub.Script([read, "done"])
    drive_codex(untrusting, workspace)
    assert "question" in untrusting.results()[0]
    assert "stage 2: local diagnosis" not in untrusting.said(), "nor does the brief come"


def quoted(text: str) -> str:
    """Inside single quotes of a shell."""
    return text.replace("'", "'\"'\"'")
