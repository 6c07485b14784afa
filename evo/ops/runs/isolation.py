"""What a training run of this workspace may see, and the rung of the ladder that holds it to that.

Invariant: no path of the sealed items, of the database or of another attempt's evaluation is shown, whatever evo.yaml
lists; a run under less than `isolation.require` is refused before it is an attempt.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from evo.domain.finding import Finding
from evo.domain.job import AttemptFolder, RunFacts, Stage
from evo.errors import EvoError, Refused, UsageError
from evo.files import read_json
from evo.lightdata import replace
from evo.runner.sandbox import ladder, view
from evo.runner.sandbox.ladder import LEVELS, Rung
from evo.runner.sandbox.view import View
from evo.session import Session
from evo.store import findings
from evo.workspace.layout import Layout

SOURCE = "isolation"
GAPS = {
    "none": "a run can read the sealed items and the database by their paths",
    "landlock": "a run sees the other processes of this machine, and may change modes of files that it cannot read",
}


def present(session: Session) -> Rung:
    """The strongest rung that holds here and that evo.yaml allows."""
    record = session.layout.cache / "isolation.json"
    return ladder.present(session.layout.hidden, record, wished=session.config.isolation.level, env=os.environ)


def refuse_less(session: Session) -> Rung:
    """`present`, or Refused where evo.yaml requires more than holds here."""
    config, rung = session.config.isolation, present(session)
    hint = f"{ladder.INSTALL}; evo doctor says what holds here"
    if LEVELS.index(rung.level) < LEVELS.index(config.require):
        said = f"isolation.require is {config.require}, and what holds here is {rung.level}: {rung.why}"
        raise Refused(said, hint=hint)
    if not config.network and rung.level != "bwrap":
        said = f"isolation.network is false, which needs bwrap, and what holds here is {rung.level}: {rung.why}"
        raise Refused(said, hint=hint)
    listed(session.layout, config.read, name="read")
    listed(session.layout, config.write, name="write")
    return rung


def enclosed(session: Session, stage: Stage, facts: RunFacts, folder: AttemptFolder) -> Stage:
    """`stage` as it is started on the rung that holds here."""
    rung = refuse_less(session)
    Path(facts.cache_dir).mkdir(parents=True, exist_ok=True)
    if rung.level == "none":
        return stage
    shown = view_of(session, facts, folder, env=stage.env, level=rung.level)
    network = session.config.isolation.network
    how = ladder.enclose(rung, stage.argv, shown, cwd=stage.cwd, network=network)
    return replace(stage, argv=how.argv, rules=how.rules, is_wrapped=how.is_wrapped)


def view_of(session: Session, facts: RunFacts, folder: AttemptFolder, *, env: Mapping[str, str], level: str) -> View:
    """What the run needs to do its work, and no more."""
    layout, config = session.layout, session.config.isolation
    tools = view.of_environment(env, root=str(layout.root))
    weights = [place for place in (facts.base_model, facts.seed_artifact) if place]
    models = [str(term["model"]) for term in facts.rewards if str(term.get("model") or "").startswith("/")]
    read = [*facts.data.values(), *(path for place in (*weights, *models) for path in view.with_links(place))]
    read += [facts.scorer.pinned_dir] if facts.scorer is not None else []
    write = [env["EVO_WORKTREE"], str(folder.root), facts.cache_dir]
    hidden = [str(layout.sealed), *gold_sources(layout)]
    hidden += [f"{layout.db}{end}" for end in ("", "-wal", "-shm")]
    if level == "bwrap":
        hidden += [str(layout.root), str(folder.eval_dir)]
    if facts.server is not None:
        write.append(facts.server.folder)
        hidden.append(f"{facts.server.folder}/service.json")  # what its keeper starts, outside
    return View(
        (*tools.read, *read, *listed(layout, config.read, name="read")),
        (*tools.write, *write, *listed(layout, config.write, name="write")),
        tuple(hidden),
    )


def gold_sources(layout: Layout) -> list[str]:
    """Where the sealed items came from: plain copies, unless somebody moved them away."""
    try:
        return [str(path) for path in read_json(layout.sealed / "sources.json")]
    except EvoError:
        return []


def listed(layout: Layout, paths: list[str], *, name: str) -> list[str]:
    """The paths that evo.yaml lists, absolute. UsageError where one reaches into `.evo`, or is not there."""
    found = [(layout.root / Path(path).expanduser()).absolute() for path in paths]
    for word, path in zip(paths, found, strict=True):
        where = f"{layout.config}, field isolation.{name}: {word!r}"
        if not path.exists():
            raise UsageError(f"{where} does not exist", hint=f"evo config set isolation.{name} PATH[,PATH]")
        real, hidden = path.resolve(), layout.hidden.resolve()
        if real.is_relative_to(hidden) or hidden.is_relative_to(real):
            raise UsageError(f"{where} holds what evo keeps from runs", hint="name the folder that is needed alone")
    return [str(path) for path in found]


def noted(session: Session, experiment: str) -> str:
    """The level that holds here. What it leaves open is a finding on the experiment, until that has run under more."""
    level = present(session).level
    gap = GAPS.get(level)
    if gap is not None or findings.of(session.db, experiment, source=SOURCE, limit=1):
        found = [] if gap is None else [_finding(level, gap)]
        findings.replace(session.db, SOURCE, found, experiment=experiment)
    return level


def watched(session: Session, experiment: str) -> list[str]:
    """Where a run may find data that nobody declared."""
    layout, config = session.layout, session.config.isolation
    listed_ = [*listed(layout, config.read, name="read"), *listed(layout, config.write, name="write")]
    return [str(layout.worktree(experiment)), *listed_]


def warnings(session: Session) -> tuple[str, ...]:
    """What a run says of it, loudly, where there is none."""
    rung = present(session)
    return (f"isolation: none; {GAPS['none']}: {rung.why}",) if rung.level == "none" else ()


def _finding(level: str, gap: str) -> Finding:
    return Finding(
        SOURCE,
        f"isolation_{level}",
        "warn" if level == "none" else "note",
        f"it ran with isolation: {level}; {gap}",
        {"level": level},
        "evo doctor",
    )
