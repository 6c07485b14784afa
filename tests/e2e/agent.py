"""A driver without any intelligence: it knows `evo brief`, `evo next` and `--json`, and does what it is told.

It does the first step that `next` names and that it has not done since the brief last changed: so a step that led
nowhere is not done again, and everything it says comes from evo. Standard output is parsed by `json.loads`, whole.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workspaces import clean_environment

EXIT_CODES = {0, 4, 5, 6, 7, 8, 9}


@dataclass
class Agent:
    workspace: Path
    done: list[str] = field(default_factory=list)
    """Commands, in the order in which they were done."""

    def say(self, command: str) -> dict[str, Any]:
        words = shlex.split(command)
        assert words[0] == "evo", command
        ran = subprocess.run(
            [sys.executable, "-m", "evo", *words[1:], "--json"],
            cwd=self.workspace, env=clean_environment(), capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        reply: dict[str, Any] = json.loads(ran.stdout)
        assert ran.returncode in EXIT_CODES, (command, ran.stdout, ran.stderr)
        assert reply["ok"] == (ran.returncode == 0), (command, reply)
        return reply

    def drive(self, *, most: int = 30) -> str:
        """The id of the committed node that it came to; empty when the steps or its patience ran out."""
        tried: dict[str, set[str]] = {}
        for _ in range(most):
            brief = self.say("evo brief")["data"]
            if brief["committed"]["id"] != brief["base"]["id"]:
                return str(brief["committed"]["id"])
            known = tried.setdefault(json.dumps(brief, sort_keys=True), set())
            steps = [step["cmd"] for step in self.say("evo next")["data"]["steps"]]
            step = next((step for step in steps if step not in known), None)
            if step is None:
                return ""
            known.add(step)
            self.done.append(step)
            self.say(step)
        return ""
