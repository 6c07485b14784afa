"""evo with one guard switched off, as a whole: an interpreter whose `evo` is a copy with a few lines changed.

A test of a guard runs the real command line twice: as it is, where the attack fails, and as a mutant, where it must
succeed; so it is known to bite. The interpreter is a virtual environment of its own, so that every process of the
run, the supervisor's and the evaluator's too, is the mutant's.
"""

from __future__ import annotations

import shutil
import subprocess
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path

from workspaces import Answer, clean_environment

import evo

PACKAGE = Path(evo.__file__).parent


@dataclass(frozen=True)
class Change:
    """In `file` of the package, `old`, which occurs exactly once, becomes `new`."""

    file: str
    old: str
    new: str


@dataclass(frozen=True)
class Mutant:
    python: Path

    def evo(self, *words: str | Path, cwd: Path, json_: bool = True, timeout: float = 120, **env: str) -> Answer:
        """As `workspaces.evo`, by the mutant."""
        argv = [str(self.python), "-m", "evo", *map(str, words), *(["--json"] if json_ else [])]
        done = subprocess.run(
            argv, cwd=cwd, env=clean_environment(**env), capture_output=True, text=True, timeout=timeout, check=False
        )
        return Answer(done.returncode, done.stdout, done.stderr)


def make_mutant(folder: Path, *changes: Change) -> Mutant:
    """At `folder`, in 0.2 s. AssertionError where a line that should be changed is not there any more."""
    source = folder / "source"
    shutil.copytree(PACKAGE, source / "evo", ignore=shutil.ignore_patterns("__pycache__"))
    for shipped in ("recipes", "plugins", "workspace_template"):
        (source / shipped).symlink_to(PACKAGE.parent / shipped)
    for change in changes:
        path = source / "evo" / change.file
        text = path.read_text()
        assert text.count(change.old) == 1, f"{change.file} holds {change.old!r} {text.count(change.old)} times"
        path.write_text(text.replace(change.old, change.new))
    venv.create(folder / "venv", symlinks=True, with_pip=False)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(folder / "venv")}))
    packages = dict.fromkeys(str(Path(sysconfig.get_path(name))) for name in ("purelib", "platlib"))
    (site / "mutant.pth").write_text("\n".join([str(source), *packages]) + "\n")
    return Mutant(folder / "venv" / "bin" / "python")
