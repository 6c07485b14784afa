"""The isolation ladder: bubblewrap, Landlock alone, nothing; and which rung really holds on this machine.

A rung holds when a process that was started on it, by the very code that starts training, could not read a canary
beside the sealed items, by no path, and still found its interpreter and its own folder. Invariant: what did not pass
that trial on this boot is not used, and what was used is what is reported.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from evo.files import sha256_json, write_json
from evo.runner import proc, records
from evo.runner.sandbox import landlock, view
from evo.runner.sandbox.view import View
from evo.runner.stage import Order, launch

LEVELS = ("none", "landlock", "bwrap")
"""The weakest first."""
INSTALL = "apt-get install bubblewrap"
_TRIAL_S = 30.0
_TRIAL = """
import os, sys
canary, prefix = sys.argv[1:]
if sys.prefix != prefix:
    sys.exit(f"python finds its packages in {sys.prefix}, not in {prefix}")
def link():
    os.link(canary, "link")
    return "link"
ways = [lambda: canary, link]
ways += [lambda pid=pid: f"/proc/{pid}/root{canary}" for pid in (1, os.getppid())]
for way in ways:
    try:
        open(way()).close()
    except OSError:
        continue
    sys.exit("what is to be hidden can be read all the same")
open("written", "w").close()
status = open("/proc/self/status").read()
if int(status.partition("CapEff:")[2].split()[0], 16):
    sys.exit("it keeps capabilities of root")
"""


class Rung(NamedTuple):
    """One way to start a process. `why`: what keeps this machine from a stronger one; empty at the top."""

    level: str
    program: str = ""
    """bubblewrap's path."""
    is_scoped: bool = False
    """Landlock holds signals and abstract sockets in, around bubblewrap."""
    why: str = ""


class Enclosed(NamedTuple):
    """What `evo.domain.job.Stage` says of it."""

    argv: list[str]
    rules: dict[str, list[str]] | None
    is_wrapped: bool


def enclose(rung: Rung, argv: list[str], shown: View, *, cwd: str, network: bool = True) -> Enclosed:
    """The same command on this rung of the ladder."""
    if rung.level == "bwrap":
        wrapped = [*view.bwrap_argv(rung.program, shown, cwd=cwd, network=network), *argv]
        return Enclosed(wrapped, {} if rung.is_scoped else None, is_wrapped=True)
    if rung.level == "landlock":
        return Enclosed(argv, view.landlock_rules(shown), is_wrapped=False)
    return Enclosed(argv, None, is_wrapped=False)


def present(hidden: Path, record: Path, *, wished: str, env: Mapping[str, str]) -> Rung:
    """The strongest rung that holds here, not above `wished` (`auto`: any). `record` keeps the answer for this boot.

    `hidden`: the folder in which sealed items lie; a canary and a scratch folder are laid there for the trial.
    """
    if wished == "none":
        return Rung("none", why="isolation.level is none")
    program = _which("bwrap", env.get("PATH", os.defpath))
    key = _key(program, wished)
    kept = records.read_record(str(record)) or {}
    if kept.get("key") == key:
        return Rung(**kept["rung"])
    found = climb(hidden, program=program, wished=wished, env=env)
    write_json(record, {"key": key, "rung": found._asdict()})
    return found


def climb(hidden: Path, *, program: str, wished: str, env: Mapping[str, str]) -> Rung:
    """Try each rung, the strongest first."""
    failed = [] if program or wished == "landlock" else [f"bubblewrap is not installed ({INSTALL})"]
    for rung in _candidates(program, wished):
        why = _tried(rung, hidden, env)
        if not why:
            return rung._replace(why="; ".join(failed))
        failed.append(f"{rung.level}: {why}")
    if not landlock.abi():
        failed.append("this kernel has no Landlock")
    return Rung("none", why="; ".join(dict.fromkeys(failed)))


def _candidates(program: str, wished: str) -> Iterator[Rung]:
    """Landlock needs `no_new_privs`, which some systems' bubblewrap cannot do with: it is tried without it too."""
    if program and wished != "landlock":
        yield Rung("bwrap", program, is_scoped=True)
        yield Rung("bwrap", program)
    if landlock.abi():
        yield Rung("landlock")


def _which(name: str, path: str) -> str:
    """The first such program of `path`; empty where there is none. `shutil` brings four compressors along."""
    places = (os.path.join(folder, name) for folder in path.split(os.pathsep) if folder)
    return next((place for place in places if os.path.isfile(place) and os.access(place, os.X_OK)), "")


def _key(program: str, wished: str) -> str:
    seen = os.stat(program) if program else None
    facts = [proc.boot_id(), os.uname().release, os.geteuid(), sys.executable, sys.prefix, wished, program]
    return sha256_json([*facts, [seen.st_mtime_ns, seen.st_size] if seen else None])


def _tried(rung: Rung, hidden: Path, env: Mapping[str, str]) -> str:
    """Why this rung does not hold; empty where it does."""
    mark = os.urandom(4).hex()
    canary, place = hidden / f"canary-{mark}", hidden / f"trial-{mark}"
    canary.write_text("nothing that is trained may read this\n", encoding="ascii")
    place.mkdir()
    own = {"PATH": env.get("PATH", os.defpath), "HOME": str(place), "TMPDIR": str(place)}
    tools = view.of_environment(own, root=str(hidden))
    shown = View(tools.read, (str(place),), (str(canary),))
    argv = [sys.executable, "-I", "-c", _TRIAL, str(canary), sys.prefix]
    try:
        how = enclose(rung, argv, shown, cwd=str(place))
        log = str(place / "log")
        pid = launch(Order(how.argv, str(place), own, log, None, how.rules, how.is_wrapped), _usual_mask())
        code = _ending(pid)
        said = records.tail_lines(log, lines=1, limit=2000)
        if code == 0 and (place / "written").is_file():
            return ""
        return said[0] if said else f"its trial ended with exit code {code}"
    finally:
        canary.unlink()
        with contextlib.suppress(OSError):
            records.remove(str(place))


def _usual_mask() -> set[int]:
    return set(signal.pthread_sigmask(signal.SIG_BLOCK, []))


def _ending(pid: int) -> int | None:
    """Its exit code; None where it took too long, and was ended."""
    deadline = time.monotonic() + _TRIAL_S
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None
