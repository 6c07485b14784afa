"""What outlasts an iteration: facts for BACKGROUND.md, and a recipe's defaults where the workspace wants them kept.

Invariant: only what a certificate stands for is written, below the person's own words or in the place of one value;
comments stay, and a file that somebody was editing is not committed for her.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from evo.domain.certificate import Certificate
from evo.domain.experiment import Experiment
from evo.domain.loop import Pick
from evo.errors import EvoError
from evo.evidence import dev_difference
from evo.files import write_text
from evo.ideas.facts import Facts
from evo.ideas.insight import changed
from evo.ideas.secrets import masked
from evo.lightdata import replace
from evo.ops.loop import margin
from evo.session import Session
from evo.store import events, experiments, gate_rows
from evo.workspace.git import git
from evo.workspace.recipes import CONFIG, own_names, validated
from evo.workspace.staging import status

BACKGROUND = "BACKGROUND.md"


def keep(session: Session, picks: list[Pick], *, memory: Path) -> list[str]:
    """Write what the last commit has made certain, once; the files, from the root, that may go to git with it.

    `picks`: all that loops of this workspace have ended.
    """
    known = experiments.get(session.db, gate_rows.last_committed(session.db))
    if known.id not in {pick.experiment for pick in picks}:
        return []
    written = [BACKGROUND, *([recipe_of(known)] if keeps_values(session, known) else [])]
    clean = [name for name in written if is_clean(session, name, known, memory=memory)]
    told = memory / "certified"
    if not told.is_file() or told.read_text() != known.id:
        margin.write(session.layout.root / BACKGROUND, facts_page(session, picks), memory=memory)
        if recipe_of(known) in written:
            keep_values(session, known)
        write_text(told, known.id)
    return [name for name in clean if status(session.layout.root, [name]).changes]


def is_clean(session: Session, name: str, known: Experiment, *, memory: Path) -> bool:
    """Whether nobody is editing the file: it is as git has it, or differs by what this loop has written alone."""
    root = session.layout.root
    if not status(root, [name]).changes:
        return True
    try:
        before = git(root, "show", f"HEAD:{name}")
        if name == BACKGROUND:
            return margin.is_ours(root / name, before, memory=memory)
        return margin.read(root / name) == with_values(root / name, before, known)
    except (EvoError, OSError):  # git never had it, or it is no recipe
        return False


def facts_page(session: Session, picks: list[Pick]) -> str:
    names = dict.fromkeys(pick.experiment for pick in picks if pick.experiment is not None)
    committed = [known for known in (experiments.get(session.db, name) for name in names) if known.state == "committed"]
    certified = [(known, gate_rows.certificate_of(session.db, known.id)) for known in committed]
    facts = import_module("evo.ops.ideas.facts").facts_of(session, parses=False)
    lines = [fact(session, facts, known, found) for known, found in certified if found is not None]
    return masked("\n".join(["## Certified by evo loop", "", *lines, ""]))


def fact(session: Session, facts: Facts, known: Experiment, found: Certificate) -> str:
    """What it is beside the reference of its certificate, and what dev shows over that: it need not be its parent."""
    node = facts.nodes[known.id]
    beside = changed(facts, replace(node, parent=found.against))
    what = " ".join(node.insight.split()).rstrip(".") or f"{node.technique or node.recipe} with {beside}"
    seen = dev_difference(session, known, found.against, epoch=found.epoch)
    words = f"- {known.id}: {what}; certified against {found.against}"
    if seen is None:
        return words
    gain, low, high = (value * session.metric.unit for value in (seen.mean, seen.low, seen.high))
    return f"{words}, on dev {gain:+.3f} [{low:+.3f}, {high:+.3f}] over it"


def keeps_values(session: Session, known: Experiment) -> bool:
    return session.config.loop.update_recipe and known.recipe in own_names(session.layout)


def recipe_of(known: Experiment) -> str:
    return f"recipes/{known.recipe}/{CONFIG}"


def keep_values(session: Session, known: Experiment) -> None:
    """The values that may be tuned become the defaults of the recipe. What does not fit it any more stays as it was."""
    path = session.layout.root / recipe_of(known)
    try:
        text = with_values(path, path.read_text(encoding="utf-8"), known)
    except (EvoError, OSError) as error:
        events.append(session.db, "loop_kept_no_values", experiment=known.id, data={"why": str(error)[:300]})
        return
    write_text(path, text)


def with_values(path: Path, text: str, known: Experiment) -> str:
    """The text of a recipe.yaml with the values of an experiment as its defaults. FileFormatError, UsageError where
    they do not fit it."""
    yamlfile = import_module("evo.workspace.yamlfile")  # brings a YAML library
    for name, spec in validated(path, text).params.items():
        value = known.params.get(name)
        if spec.tune and value is not None and value != spec.default:
            text = yamlfile.with_value(text, f"params.{name}.default", value, path=path)
    validated(path, text)
    return text
