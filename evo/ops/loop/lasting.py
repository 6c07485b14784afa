"""What outlasts an iteration: facts for BACKGROUND.md, and a recipe's defaults where the workspace wants them kept.

Invariant: only what a certificate stands for is written, below the person's own words or in the place of one value;
comments stay, and a file that somebody was editing is not committed for her.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from evo.domain.experiment import Experiment
from evo.domain.loop import Pick
from evo.errors import EvoError
from evo.files import write_text
from evo.ideas.secrets import masked
from evo.ops.loop import margin
from evo.session import Session
from evo.store import events, experiments, gate_rows
from evo.workspace.recipes import CONFIG, own_names, validated
from evo.workspace.staging import status

BACKGROUND = "BACKGROUND.md"


def keep(session: Session, picks: list[Pick], pick: Pick, *, memory: Path) -> list[str]:
    """Write what the end of `pick` has made certain; the files, from the root, that an iteration's commit may hold.

    `picks`: all that loops of this workspace have ended.
    """
    if not pick.told.get("certified") or pick.experiment is None:
        return []
    known = experiments.get(session.db, pick.experiment)
    written = [BACKGROUND, *([recipe_of(known)] if keeps_values(session, known) else [])]
    clean = [name for name in written if not status(session.layout.root, [name]).changes]
    margin.write(session.layout.root / BACKGROUND, facts_page(session, picks), memory=memory)
    if recipe_of(known) in written:
        keep_values(session, known)
    return clean


def facts_page(session: Session, picks: list[Pick]) -> str:
    lines = ["## Certified by evo loop", ""]
    for pick in picks:
        known = experiments.get(session.db, pick.experiment) if pick.experiment and pick.told.get("certified") else None
        certificate = gate_rows.certificate_of(session.db, known.id) if known and known.state == "committed" else None
        if certificate is not None:
            lines.append(f"- {pick.experiment}: {pick.told.get('insight') or pick.plan.hypothesis}")
    return masked("\n".join([*lines, ""]))


def keeps_values(session: Session, known: Experiment) -> bool:
    return session.config.loop.update_recipe and known.recipe in own_names(session.layout)


def recipe_of(known: Experiment) -> str:
    return f"recipes/{known.recipe}/{CONFIG}"


def keep_values(session: Session, known: Experiment) -> None:
    """The values that may be tuned become the defaults of the recipe. What does not fit it any more stays as it was."""
    path = session.layout.root / recipe_of(known)
    yamlfile = import_module("evo.workspace.yamlfile")  # brings a YAML library
    try:
        text = path.read_text(encoding="utf-8")
        config = validated(path, text)
        for name, spec in config.params.items():
            value = known.params.get(name)
            if spec.tune and value is not None and value != spec.default:
                text = yamlfile.with_value(text, f"params.{name}.default", value, path=path)
        validated(path, text)
    except (EvoError, OSError) as error:
        events.append(session.db, "loop_kept_no_values", experiment=known.id, data={"why": str(error)[:300]})
        return
    write_text(path, text)
