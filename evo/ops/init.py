"""`evo init`: a workspace from an empty folder, or around a project that is there.

Invariant: everything that can be wrong is looked at before the first byte is written; the database is made last, so a
folder without one is no workspace and `init` may be called again.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from evo.config import EvoConfig, SplitsConfig
from evo.data.guards import shipped
from evo.domain.experiment import ROOT
from evo.errors import NotFound, Refused, UsageError, nearest
from evo.evaluate import identity
from evo.lightdata import dataclass, field
from evo.ops.judging import sealing
from evo.ops.judging.judge import refuse_contradictions
from evo.ops.judging.sealing import GoldRequest, Plan
from evo.session import Settings, metric_of
from evo.store import db as database
from evo.store import experiments, meta
from evo.workspace import repository, template
from evo.workspace.layout import Layout
from evo.workspace.pin import FROM_MODEL, ModelPin, check_python, own_template, pin_model, resolve_model
from evo.workspace.settings import refresh
from evo.workspace.values import parse_value
from evo.workspace.yamlfile import set_keys

SUITE_MARGIN = 0.1
"""About a hundred held-out items bound a difference to ±.05 where a candidate changes one answer in twelve."""


@dataclass(frozen=True)
class InitRequest:
    folder: Path
    model: str | None = None
    template: str | None = None
    gold: GoldRequest = field(default_factory=GoldRequest)
    train: Path | None = None
    scorer: str | None = None
    chat_template: str | None = None
    eval_command: str | None = None
    eval_files: tuple[Path, ...] = ()
    guards: tuple[str, ...] = ()
    """Suites that come with evo."""
    settings: tuple[tuple[str, str], ...] = ()
    """Further keys of evo.yaml, as on the command line of `config set`."""


@dataclass(frozen=True)
class Initialised:
    root: Path
    plan: Plan | None
    pin: ModelPin | None
    alpha: float
    warnings: tuple[str, ...]
    awaits_scorer: bool
    """The scorer is a `scorer.py` that nobody has written yet."""
    is_scalar: bool = False
    """The benchmark brings its own items: there are none to seal."""


def init(request: InitRequest) -> Initialised:
    """Make the workspace. Refused, NotFound, UsageError or FileFormatError before anything is changed."""
    root = request.folder.resolve()
    layout = Layout(root)
    kind = template_of(request)
    check_place(layout)
    pin = pin_model(request.model) if request.model else None
    splits = splits_of(request)
    plan = sealing.plan(request.gold, train=request.train, mid=0 if kind == "command" else splits.mid, seed=splits.seed)
    files = [found(path, root) for path in request.eval_files]
    for path in files:
        check_python(path)
    settings = settings_of(request, pin, files, root)
    if (page := chat_page(request)) is not None:
        files.append(found(page, root))
    template.check(kind, settings)
    refuse_no_command(layout, kind, settings)
    refuse_tracked_gold(root, request)
    with undone_on_error(root):
        lay_down(layout, request, kind, settings, files)
        config = refresh(layout)
        refuse_contradictions(Settings(layout, config))
        warnings = finish(layout, config, request, plan, pin)
    awaits_scorer = config.eval.scorer == "custom" and not (root / "scorer.py").is_file()
    is_scalar = config.eval.mode == "scalar"
    return Initialised(root, plan, pin, config.gate.alpha, warnings, awaits_scorer, is_scalar=is_scalar)


def template_of(request: InitRequest) -> str:
    if request.template is not None:
        return request.template
    return "command" if request.eval_command else "default"


def check_place(layout: Layout) -> None:
    """The folder can become a workspace: git is there, it is none yet, nothing in it is uncommitted."""
    if shutil.which("git") is None:
        raise Refused("git is not installed", hint="apt-get install git")
    if layout.db.exists():
        raise Refused(f"{layout.root} is a workspace already", hint=f"evo -C {layout.root} status")
    if layout.root.exists() and not layout.root.is_dir():
        raise UsageError(f"{layout.root} is a file", hint="name a folder")
    if layout.root.is_dir() and repository.is_repo(layout.root) and repository.is_dirty(layout.root):
        raise Refused(f"{layout.root} has uncommitted changes", hint="git stash, or git commit, then evo init again")


def found(path: Path, root: Path) -> Path:
    """A file named on the command line: as it stands, or inside the new workspace."""
    for candidate in (path, root / path):
        if candidate.is_file():
            return candidate.resolve()
    raise NotFound(f"{path} does not exist", hint=f"looked in {Path.cwd()} and in {root}")


def splits_of(request: InitRequest) -> SplitsConfig:
    """`--set splits.mid=0` counts before there is an evo.yaml that could say so."""
    chosen = {key: parse_value(key, text) for key, text in request.settings if key in ("splits.mid", "splits.seed")}
    return SplitsConfig(**{key.removeprefix("splits."): value for key, value in chosen.items()})


def settings_of(request: InitRequest, pin: ModelPin | None, files: list[Path], root: Path) -> dict[str, str]:
    """Dotted keys of evo.yaml that the request sets."""
    settings = {"name": root.name}
    if pin is not None:
        settings["model.source"] = str(pin.source)
    if request.scorer is not None:
        settings["eval.scorer"] = request.scorer
    if request.chat_template is not None:
        settings["chat-template"] = chat_setting(request.chat_template, root)
    if request.eval_command is not None:
        settings["eval.command"] = request.eval_command
        settings["eval.backend"] = "command"
    if files:
        settings["eval.files"] = "[" + ", ".join(f'"{inside(path, root)}"' for path in files) + "]"
    if request.guards:
        settings["guards"] = guards_setting(request)
    return settings | dict(request.settings)


def guards_setting(request: InitRequest) -> str:
    """`guards` of evo.yaml for suites that come with evo, with a margin that their held-out items can show."""
    if unknown := [name for name in request.guards if name not in shipped()]:
        raise NotFound(f"--guards: evo has no suite {unknown[0]!r}", hint=nearest(unknown[0], shipped()))
    if template_of(request) == "command":
        hint = "guards with a command: docs of `guards` in evo.yaml"
        raise UsageError("--guards: a suite of evo asks a model, and here a command scores", hint=hint)
    suites = dict.fromkeys(request.guards)
    return json.dumps([{"name": name, "items": name, "scorer": "rules", "margin": SUITE_MARGIN} for name in suites])


def chat_page(request: InitRequest) -> Path | None:
    """The file of `--chat-template`, where it names one."""
    word = request.chat_template
    return Path(word) if word and not word.startswith(FROM_MODEL) else None


def chat_setting(word: str, root: Path) -> str:
    """`chat-template` of evo.yaml: a file inside the workspace, or `from:MODEL` with a folder made absolute.

    NotFound when there is no such file or model, or the model has no template.
    """
    if not word.startswith(FROM_MODEL):
        return inside(found(Path(word), root), root) if word else ""
    source = word.removeprefix(FROM_MODEL)
    folder = resolve_model(source)
    if own_template(folder) is None:
        raise NotFound(f"--chat-template: {source} has no chat template", hint="name a chat model, or a file")
    return FROM_MODEL + (str(folder) if Path(source).expanduser().is_dir() else source)


def inside(path: Path, root: Path) -> str:
    """Where a file lies, or will be copied to, relative to the workspace."""
    return str(path.relative_to(root)) if path.is_relative_to(root) else path.name


def refuse_no_command(layout: Layout, kind: str, settings: dict[str, str]) -> None:
    """Without a command the baseline could not be scored; an evo.yaml that is there already may name one."""
    is_command = "command" in (kind, settings.get("eval.backend"))
    if is_command and not settings.get("eval.command", "").strip() and not layout.config.exists():
        hint = '--eval-command "python score.py" --eval-files score.py'
        raise UsageError("the command template needs the command that scores", hint=hint)


def refuse_tracked_gold(root: Path, request: InitRequest) -> None:
    """Sealed items that git knows would be in every worktree."""
    if not (root.is_dir() and repository.is_repo(root)):
        return
    own = [str(path.resolve().relative_to(root)) for path in request.gold.files if path.resolve().is_relative_to(root)]
    if tracked := repository.tracked(root, own):
        raise Refused(
            f"{tracked[0]} is tracked by git: every worktree would hold the sealed items",
            hint=f"git rm --cached {tracked[0]}, commit, and keep it outside the repository",
        )


@contextmanager
def undone_on_error(root: Path) -> Iterator[None]:
    """Remove what was made when something fails after all; an existing folder keeps what it had."""
    existed = root.is_dir()
    before = set(root.iterdir()) if existed else set()
    try:
        yield
    except BaseException:
        if not existed:
            shutil.rmtree(root, ignore_errors=True)
        else:
            for path in set(root.iterdir()) - before:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        raise


def lay_down(layout: Layout, request: InitRequest, kind: str, settings: dict[str, str], files: list[Path]) -> None:
    """Template, settings, evaluation files, train file."""
    layout.root.mkdir(parents=True, exist_ok=True)
    layout.create()
    template.lay_down(kind, layout.root, name=layout.root.name)
    set_keys(layout.config, settings)
    for path in files:
        target = layout.root / inside(path, layout.root)
        if target != path:
            shutil.copyfile(path, target)
    if request.train is not None:
        target = layout.data / "train.jsonl"
        if target.resolve() != request.train.resolve():
            shutil.copyfile(request.train, target)


def finish(
    layout: Layout, config: EvoConfig, request: InitRequest, plan: Plan | None, pin: ModelPin | None
) -> tuple[str, ...]:
    """Seal, commit, and make the database with the baseline in it."""
    metric_of(config)
    plain_copies = [path for path in request.gold.files if path.resolve().is_relative_to(layout.root)]
    repository.exclude(layout.root, [str(path.resolve().relative_to(layout.root)) for path in plain_copies])
    warnings = sealing.write(layout, config, plan) if plan is not None else ()
    if not repository.is_repo(layout.root):
        repository.init(layout.root)
    named = [*config.eval.files, *([] if config.chat_template.startswith(FROM_MODEL) else [config.chat_template])]
    known = repository.known_files(layout.root, [name for name in named if name])
    commit = repository.commit_files(layout.root, known, "evo init")
    draft = layout.db.with_suffix(".part")
    draft.unlink(missing_ok=True)
    database.create(draft)
    with database.opened(draft) as db:
        root = experiments.add_root(db, hypothesis="the untouched base model", recipe="base", technique="base")
        experiments.set_content(db, ROOT, commit=commit, content_hash="root")
        if pin is not None:
            meta.set(db, "model_path", str(pin.path))
            meta.set(db, "model_pin", pin.facts)
            meta.set(db, "model_weights", pin.weights_sha256)
            meta.set(db, "model_stamp", identity.stamp(pin.path))
        assert root.id == ROOT
    draft.rename(layout.db)
    return warnings
