"""The rail before an agent's tools: it answers at once whatever it is shown, and what it cannot tell it refuses."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
from functools import reduce
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from workspaces import clean_environment

from evo.agent import hooks, paths, shell
from evo.agent.lexer import tokens


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As much of one as paths are judged by."""
    made = tmp_path_factory.mktemp("rail") / "ws"
    (made / ".evo" / "sealed").mkdir(parents=True)
    (made / ".evo" / "sealed" / "heldout.jsonl").write_text("{}")
    (made / "evo.yaml").write_text("")
    (made / "data").mkdir()
    return made


def decide(tool: str, cwd: Path, **given: str) -> str:
    """`allow`, or why not; in this process, as hooks answer."""
    said = hooks.pre_tool_use({"tool_name": tool, "tool_input": given}, paths.place_at(cwd))
    output: Any = said.get("hookSpecificOutput", {})
    return output["permissionDecisionReason"] if output.get("permissionDecision") == "deny" else "allow"


N = 100_000
_OBJECT = '{"a":1,"b":2,"c":3}'
LONG = {
    "objects": f"python -c 'print([{','.join([_OBJECT] * 13)}])'",
    "JSON of 100 kB": f"python -c 'print([{','.join([_OBJECT] * (N // 20))}])'",
    "rows": "cat > data/seed.jsonl <<'EOF'\n" + f'{{"messages":[{",".join([_OBJECT] * 11)}]}}\n' * (N // 240) + "EOF",
    "words": "echo " + " ".join(f"w{i}" for i in range(N // 6)),
    "paths": "ls " + " ".join(f"data/a{i}" for i in range(N // 12)),
    "an archive": "tar c " + " ".join(f"w{i}" for i in range(N // 6)),
    "commands": "".join(f"echo w{i}; " for i in range(N // 12)),
    "code": "python -c '" + " ".join(f'open("a/b{i}.txt")' for i in range(N // 18)) + "'",
    "a page": "cat > R.md <<'EOF'\n" + "".join(f"`new {i}`: *what* [is](d{i})?\n" for i in range(N // 50)) + "EOF",
    "a long word": f"echo '{'x' * N}'",
    "brackets": "echo " + "[" * N,
    "commas": "echo {" + "," * N,
    "open braces": "echo " + "{," * (N // 2),
    "open variables": "echo " + "${a-" * (N // 4),
    "wrappers": "sudo " * (N // 5) + "true",
    "options": "ls " + "-l " * (N // 3),
    "stars": "ls " + "**/" * (N // 3) + "x",
}
"""Long, and all of it can be told."""
ENDLESS = {
    "braces in braces": "echo " + "{a," * (N // 6) + "}" * (N // 6),
    "many alternatives": "cat .e{v,w}o/se{a,b}led/" + "{a,b}" * 20,
    "values that grow": "a=xxxxxxxxxx; " + "a=$a$a$a; " * 40 + "echo $a",
    "shells in shells": reduce(lambda line, _: f"bash -c {shlex.quote(line)}", range(6), "ls"),
    "folders in folders": "".join(f"cd {'d' * 200}{i}; " for i in range(N // 200)),
    "ten megabytes": "echo " + "x" * 10_000_000,
}


@pytest.mark.parametrize("name", LONG)
def test_a_long_line_is_told_at_once(workspace: Path, name: str) -> None:
    """All of it is let through, and what comes behind it is seen, in far less time than a client waits for. Each of
    these took from a second to for ever; after twenty seconds a client lets a call through."""
    began = time.process_time()
    said = decide("Bash", workspace, command=f"{LONG[name]}\ncat .evo/sealed/heldout.jsonl")
    assert said.startswith(".evo/sealed/heldout.jsonl: "), said[:200]
    assert time.process_time() - began < 2


def test_objects_are_let_through(workspace: Path) -> None:
    assert decide("Bash", workspace, command=LONG["objects"]) == "allow"
    assert decide("Bash", workspace, command=LONG["rows"]) == "allow"
    assert decide("Bash", workspace, command="mkdir -p {a,b,c,d,e}/{1,2,3,4,5}/{x,y,z}") == "allow"
    assert decide("Bash", workspace, command="scp host:{a,b} {data/x,.evo/sealed}/{y,heldout.jsonl}") != "allow"
    assert decide("Bash", workspace, command="cp x:{a,.evo/sealed/heldout.jsonl} .") != "allow"


@pytest.mark.parametrize("name", ENDLESS)
def test_what_cannot_be_told_is_refused(workspace: Path, tmp_path: Path, name: str) -> None:
    """Rather than let through; outside a workspace nothing is said."""
    began = time.process_time()
    assert "more than evo can look through" in decide("Bash", workspace, command=ENDLESS[name])
    assert decide("Bash", tmp_path, command=ENDLESS[name]) == "allow"
    assert time.process_time() - began < 3


def test_a_line_that_takes_too_long_is_refused(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shell, "TIME_S", 0.0)
    assert "more than evo can look through" in decide("Bash", workspace, command="ls data")


def test_file_tools_with_more_than_can_be_looked_through(workspace: Path) -> None:
    names = "".join(f"*** Update File: a{i}\n" for i in range(hooks.MOST_PATHS))
    sealed = "*** Update File: .evo/sealed/heldout.jsonl\n"
    assert "smaller commands" in decide("apply_patch", workspace, input=names + sealed)
    assert "smaller commands" in decide("Glob", workspace, pattern="{a,b}" * 30)
    assert "failures" in decide("Read", workspace, path="a\0b", file_path=".evo/sealed/heldout.jsonl")


def test_a_payload_that_is_too_much_is_refused(workspace: Path, tmp_path: Path) -> None:
    """Too long, or too deep for a reader of JSON; in a workspace alone."""
    long = json.dumps({"tool_name": "Bash", "tool_input": {"command": "x" * hooks.MOST_STDIN}})
    deep = '{"tool_input": ' + "[" * 200_000
    for text in (long, deep):
        for cwd, is_refused in ((workspace, True), (tmp_path, False)):
            done = subprocess.run(
                [sys.executable, "-m", "evo", "hook", "pre-tool-use"], input=text, cwd=cwd, env=clean_environment(),
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            assert ('"deny"' in done.stdout) is is_refused


def test_a_pattern_of_a_shell_is_matched_as_it_is_there(workspace: Path) -> None:
    """Stars and brackets in any number; a name with a dot at its front only by its dot."""
    for pattern, is_told in (
        (".evo/s[a-f]aled/*", True),
        (".evo/*a*e*/held*", True),
        (".evo/s?aled/x", True),
        ("[.]evo/sealed", True),
        ("**/.evo/**/sealed/*", True),
        ("*/sealed/*", False),
        (".evo/[!s]ealed/*", False),
        (".evo/s[]ealed/*", False),
        ("**/sealed/*", False),
    ):
        assert (decide("Bash", workspace, command=f"cat {pattern}") != "allow") is is_told, pattern


ATOMS = ["a", "b c", "é", " ", "\t", "'", '"', "\\", ";", "&&", "|", "<", ">", "(", ")", "x=1"]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(ATOMS)))
def test_words_are_those_of_a_shell(atoms: list[str]) -> None:
    """By the standard library's reader, which is slow."""
    line = "".join(atoms)
    oracle = shlex.shlex(line, posix=True, punctuation_chars="();<>|&`")
    oracle.whitespace_split, oracle.commenters = True, ""
    try:
        expected = list(oracle)
    except ValueError:
        return
    assert [token.text for token in tokens(line)] == expected
