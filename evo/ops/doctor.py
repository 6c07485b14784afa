"""`evo doctor`: what this machine and this workspace can do, each failing row with its fix.

Invariant: nothing is changed, nothing heavy is imported, and no row fails for what evo does without.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory

from evo.domain.service import ServiceFolder
from evo.domain.upkeep_views import CheckView, DoctorView
from evo.errors import EvoError, NotAWorkspace
from evo.evaluate.server.command import probe
from evo.evaluate.server.place import cure, down_reason, has_keeper, state_of
from evo.lightdata import replace
from evo.ops import data, upkeep
from evo.ops.runs import isolation, serving
from evo.runner.sandbox import ladder, landlock
from evo.session import Session, open_session
from evo.store import meta
from evo.workspace.pin import ModelPin, verify_model

LEAST_FREE_GB = 2.0
EXTRAS = {
    "train": ("torch", "transformers", "trl", "peft", "accelerate", "datasets"),
    "math": ("math-verify",),
    "data": ("scipy",),
    "wandb": ("wandb",),
    "trackio": ("trackio",),
    "mlflow": ("mlflow-skinny",),
    "ideas": ("anthropic", "tenacity"),
    "mcp": ("mcp",),
    "eval": ("inspect-ai", "lm-eval"),
}
KEYS = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN")


def examine(folder: Path) -> DoctorView:
    """Rows about the machine, and about the workspace around `folder` if there is one."""
    return DoctorView([*_machine(folder), *_extras(), *_workspace(folder)])


def _machine(folder: Path) -> Iterator[CheckView]:
    version = platform.python_version()
    yield CheckView("python", sys.version_info >= (3, 11), f"{version} at {sys.executable}", "use Python 3.11 or newer")
    yield _git()
    free = shutil.disk_usage(folder).free / 1e9
    yield CheckView("disk", free >= LEAST_FREE_GB, f"{free:.1f} GB free", "evo gc --delete, or a larger disk")
    yield CheckView("gpu", True, _gpus() or "none: training runs on the CPU")
    yield _isolation()


def _git() -> CheckView:
    if shutil.which("git") is None:
        return CheckView("git", False, "not installed", "apt-get install git")
    said = subprocess.run(["git", "--version"], capture_output=True, text=True, check=False).stdout.split()
    found = said[2] if len(said) > 2 else "unknown"
    fits = tuple(int(part) for part in found.split(".")[:2] if part.isdigit()) >= (2, 30)
    return CheckView("git", fits, found, "git 2.30 or newer is needed")


def _gpus() -> str:
    if shutil.which("nvidia-smi") is None:
        return ""
    query = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"]
    done = subprocess.run(query, capture_output=True, text=True, check=False, timeout=20)
    return "; ".join(done.stdout.split("\n")).strip("; ") if done.returncode == 0 else ""


def _isolation(wished: str = "auto", *, least: str = "landlock") -> CheckView:
    """The strongest rung that holds here, by a trial in a folder of its own. `least`: what is enough."""
    with TemporaryDirectory(prefix="evo-doctor-") as folder:
        program = shutil.which("bwrap") or ""
        rung = ladder.climb(Path(folder), program=program, wished=wished, env=os.environ)
    scope = f"Landlock {landlock.abi()} around it" if rung.is_scoped else ""
    found = "; ".join(filter(None, [rung.level, isolation.GAPS.get(rung.level, scope), rung.why]))
    return CheckView("isolation", ladder.LEVELS.index(rung.level) >= ladder.LEVELS.index(least), found, ladder.INSTALL)


def _asked_isolation(session: Session) -> Iterator[CheckView]:
    """What evo.yaml makes of it."""
    asked = session.config.isolation
    if asked.level == "none":
        found = f"isolation.level is none: {isolation.GAPS['none']}"
        yield CheckView("isolation here", False, found, "evo config unset isolation.level")
    elif asked.require != "none" or not asked.network:
        row = _isolation(asked.level, least=asked.require if asked.network else "bwrap")
        yield replace(row, name="isolation here")


def _extras() -> Iterator[CheckView]:
    for extra, names in EXTRAS.items():
        versions = {name: _version(name) for name in names}
        missing = [name for name, version in versions.items() if not version]
        found = ", ".join(f"{name} {version}" for name, version in versions.items() if version) or "not installed"
        needed = extra == "train"
        fix = f"pip install 'evo-tree[{extra}]'"
        note = f"{found}; missing: {', '.join(missing)}" if missing else found
        yield CheckView(f"extra {extra}", not missing or not needed, note + ("" if needed else " (optional)"), fix)


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _workspace(folder: Path) -> Iterator[CheckView]:
    try:
        with open_session(folder, readonly=True) as session:
            yield CheckView("workspace", True, str(session.layout.root))
            yield from _contents(session)
    except NotAWorkspace:
        yield CheckView("workspace", True, "none here")
    except EvoError as error:
        yield CheckView("workspace", False, error.message, error.hint)


def _contents(session: Session) -> Iterator[CheckView]:
    errors = [finding for finding in upkeep.check(session) if finding.severity == "error"]
    yield CheckView("tree", not errors, f"{len(errors)} errors" if errors else "in order", "evo fsck")
    yield from _asked_isolation(session)
    yield _model(session)
    yield _server(session)
    yield _ideas(session)
    try:
        status, _ = data.status(session)
    except EvoError as error:
        yield CheckView("sealed items", False, error.message, error.hint)
        return
    yield CheckView("sealed items", status.intact, str(status.splits), "evo data status")
    copies = status.plain_copies
    found = ", ".join(copies) or "none in the workspace"
    yield CheckView("plain copies of sealed items", not copies, found, "move them off this machine")


def _server(session: Session) -> CheckView:
    """What would answer evaluations by vLLM; nothing is started."""
    is_wanted, python = session.config.eval.backend == "vllm", session.config.server.python
    if not is_wanted and not python:
        return CheckView("inference server", True, "none: evaluations are answered by hf (optional)")
    try:
        facts = serving.server_facts(session)
    except EvoError as error:
        return CheckView("inference server", not is_wanted, error.message, error.hint)
    place = ServiceFolder(Path(facts.folder))
    if why := down_reason(place):
        return CheckView("inference server", False, f"down, hf answers in its place: {why}", cure(place))
    found = probe(facts.python)
    if found.problem:
        return CheckView("inference server", not is_wanted, found.problem, "; ".join(serving.PIP_LINES))
    now = state_of(place).state if has_keeper(place) else "asleep"
    use = "" if is_wanted else "; not used: eval.backend is " + session.config.eval.backend
    return CheckView("inference server", True, f"vllm {found.vllm}, torch {found.torch}: {now}{use}")


def _ideas(session: Session) -> CheckView:
    """Who proposes; nobody is asked."""
    asked = session.config.ideas
    network = "the network is off" if asked.network == "off" else "arXiv, Hugging Face and GitHub are asked"
    if asked.source == "kb":
        return CheckView("ideas", True, f"rules and knowledge base; {network}")
    lacking = [name for name in EXTRAS["ideas"] if not _version(name)]
    key = next((name for name in KEYS if os.environ.get(name)), "")
    found = f"{asked.source}, {asked.model}; {key or 'no key'}; {network}"
    problem = f"pip install 'evo-tree[ideas]' ({', '.join(lacking)})" if lacking else f"set {KEYS[0]}"
    is_ready = bool(key) and not lacking and asked.network != "off"
    return CheckView("ideas", is_ready, found, problem if lacking or not key else "evo config unset ideas.network")


def _model(session: Session) -> CheckView:
    facts = meta.get(session.db, "model_pin")
    if facts is None:
        return CheckView("base model", True, "none: the command evaluates what runs leave")
    changed = verify_model(ModelPin(**{**facts, "path": Path(facts["path"])}))
    found = f"{facts['path']}" + (f": {', '.join(changed)} changed since init" if changed else ", as pinned")
    return CheckView("base model", not changed, found, "bring the pinned files back; another base is another workspace")
