"""Real workspaces for tests, driven through the real command line.

A `command` workspace needs no torch: its "weights" are a file `skill.txt` with a probability, and item `i` is right
when its own fixed random number lies below that probability. So a run's true quality is known, and runs take 0.2 s.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evo.cli import app

SCORE = """\
import argparse, hashlib, json, pathlib

parser = argparse.ArgumentParser()
for name in ("--model", "--items", "--out"):
    parser.add_argument(name)
args = parser.parse_args()
file = pathlib.Path(args.model) / "skill.txt"
skill = float(file.read_text()) if file.exists() else 0.4
with open(args.out, "w") as out:
    for line in open(args.items):
        item = json.loads(line)
        luck = int(hashlib.sha256(item["id"].encode()).hexdigest()[:8], 16) / 2**32
        out.write(json.dumps({"id": item["id"], "score": float(luck < skill), "output": str(luck)}) + "\\n")
"""


@dataclass(frozen=True)
class Answer:
    """What one command said. `document` is its JSON envelope."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        lines = self.out.strip().splitlines()
        assert len(lines) == 1, f"not one document: {self.out!r} {self.err}"
        found: dict[str, Any] = json.loads(lines[0])
        assert found["schema"] == "evo/1"
        return found

    @property
    def data(self) -> Any:
        assert self.document["ok"], self.document.get("error")
        return self.document["data"]

    @property
    def error(self) -> dict[str, str]:
        assert not self.document["ok"]
        found: dict[str, str] = self.document["error"]
        return found


def clean_environment(**more: str) -> dict[str, str]:
    """This environment without evo's own variables, so that a test inside a run is no run; nor any tracker's.

    And with compiled modules kept, whatever it says: thousands of processes would compile evo again.
    """
    foreign = ("EVO_", "WANDB_", "TRACKIO_", "MLFLOW_", "PYTHONDONTWRITEBYTECODE")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(foreign)}
    return kept | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "EVO_LESSONS": "none"} | more


LIGHT = frozenset(
    {
        *("compare", "config", "diff", "discard", "discards", "failures", "frontier", "fsck", "init", "log", "new"),
        *("next", "note", "notes", "path", "recipe", "restore", "show", "status", "tree"),
        *("ideas", "ideate", "lessons", "recommend"),
    }
)
"""Commands that start no process but git's."""


def evo(*words: str | Path, cwd: Path, json_: bool = True, timeout: float = 120, **env: str) -> Answer:
    """Run one command: in a process of its own, or here where it is one of `LIGHT` and nothing else is asked for."""
    if json_ and not env and str(words[0]) in LIGHT:
        return _here([*map(str, words), "--json"], cwd=cwd)
    return evo_apart(*words, cwd=cwd, json_=json_, timeout=timeout, **env)


def evo_apart(*words: str | Path, cwd: Path, json_: bool = True, timeout: float = 120, **env: str) -> Answer:
    """Run one command in a process of its own, whatever it is."""
    argv = [sys.executable, "-m", "evo", *map(str, words), *(["--json"] if json_ else [])]
    done = subprocess.run(
        argv, cwd=cwd, env=clean_environment(**env), capture_output=True, text=True, timeout=timeout, check=False
    )
    return Answer(done.returncode, done.stdout, done.stderr)


def evo_here(line: str, *, cwd: Path) -> Answer:
    """Run one command in this process, through the door that a process of its own enters by: 0.1 s sooner."""
    return _here(line.split(), cwd=cwd)


def _here(argv: list[str], *, cwd: Path) -> Answer:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.chdir(cwd), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = app.run(argv)
    return Answer(code, out.getvalue(), err.getvalue())


def write_gold(path: Path, n: int, *, start: int = 0) -> Path:
    rows = [
        {"id": f"q{i}", "prompt": f"question {i}: what is {i} times {i}", "target": str(i * i)}
        for i in range(start, start + n)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def make_command_workspace(folder: Path, *settings: str, n: int = 200, score: str = SCORE) -> Path:
    """A workspace at `folder` with `n` gold items beside it; `settings`: `KEY=VALUE` of evo.yaml.

    Beside it too, `shared`: the one folder outside that its training commands may read and write.
    """
    shared = folder.parent / "shared"
    shared.mkdir(parents=True, exist_ok=True)
    settings = (f"isolation.write={shared}", *settings)
    gold = write_gold(folder.parent / f"{folder.name}-gold.jsonl", n)
    (folder.parent / "score.py").write_text(score)
    sets = [word for setting in settings for word in ("--set", setting)]
    answer = evo(
        "init", folder, "--template", "command", "--gold", gold,
        "--eval-command", "python score.py", "--eval-files", folder.parent / "score.py", *sets, cwd=folder.parent,
    )  # fmt: skip
    assert answer.code == 0, answer.err + answer.out
    return folder


def skilled(skill: float | str) -> str:
    """`argv` of a training command whose output has this skill."""
    return f"""argv=sh -c 'echo {skill} > "$EVO_CHECKPOINT_DIR/skill.txt"'"""


def new(workspace: Path, setting: str, hypothesis: str, *words: str) -> str:
    """A new `command` experiment; its id."""
    answer = evo("new", "--recipe", "command", "--set", setting, "-m", hypothesis, *words, cwd=workspace)
    assert answer.code == 0, answer.err + answer.out
    found: str = answer.data["id"]
    return found
