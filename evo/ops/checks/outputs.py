"""What a run's outputs give away: drift against the base as warnings, and a canary known by heart as proof of a leak.

Each sealed file holds a canary, a question that exists nowhere else. Evaluations of a model ask it those questions
beside dev; where it knows an answer, or dev outputs hold one, it was trained on sealed items: the experiment is
contaminated, late, and keeps its score on record.
Invariant: no sealed text leaves; a finding names the split. The answers' outputs are kept hashed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from evo.data import guards, seal
from evo.data.reader import read_items
from evo.diagnose.outputs import SOURCE, Marks, Said, alarms, truncation
from evo.domain.experiment import ROOT
from evo.domain.finding import Finding
from evo.domain.item import Item, ItemResult
from evo.domain.job import EvalJob
from evo.errors import EvoError
from evo.files import write_jsonl
from evo.lightdata import replace
from evo.ops.judging.judge import read_results
from evo.session import Session
from evo.store import experiments, findings, gate_rows, results

CANARY = "canary"
"""The folder beside an evaluation's results that holds the answers to the canaries."""
ANSWER_TOKENS = 64
_SECRET = re.compile(r"[0-9a-f]{32}")
"""What a canary's question and answer look like: sixteen random bytes."""


def with_canaries(session: Session, job: EvalJob) -> EvalJob:
    """`job` as one that asks a model for the canaries too; a command answers its own items only."""
    known = canaries(session)
    if job.backend == "command" or not known:
        return job
    items = session.layout.sealed / "canaries.jsonl"
    rows = [{"id": name, "prompt": item.question, "rules": {"has": [item.target]}} for name, item in known.items()]
    write_jsonl(items, rows, mode=0o600)
    generation = job.generation | {"max_new_tokens": ANSWER_TOKENS, "temperature": 0.0, "samples": 1, "stop": []}
    asked = replace(
        job,
        split="heldout",
        items=str(items),
        items_sha256="",
        out_dir=str(Path(job.out_dir) / CANARY),
        scorer="rules",
        scorer_options={},
        generation=generation,
        system_prompt="",
        forbidden=[],
        low=0.0,
        high=1.0,
        keep_output=False,
        direction="max",
        mid=None,
        suites=[],
    )
    return replace(job, suites=[*job.suites, asked])


def canaries(session: Session) -> dict[str, Item]:
    """Sealed split -> its canary."""
    root = session.layout.root
    manifest = seal.read_manifest(root)
    known = {str(split): record for split, record in manifest.splits.items() if record.canary}
    known |= {f"guard {name}": record.heldout for name, record in guards.records(root).items()}
    found: dict[str, Item] = {}
    for split, record in known.items():
        rows = read_items(root / record.file, needs_target=False)
        found[split] = next(row for row in rows if row.id == record.canary)
    return found


def look_over(session: Session, experiment: str, n: int, *, graded: list[ItemResult], eval_dir: Path) -> None:
    """Findings about the outputs of one attempt; a leak that is proven contaminates."""
    epoch = experiments.get(session.db, experiment).epoch
    said = list(_said(session, experiment, graded, epoch=epoch or ""))
    leaked = sorted({*answered(eval_dir), *quoted(session, graded)})
    found = [] if experiment == ROOT else alarms(said, _marks(session))
    if cut := truncation(said):
        longer = f"evo config set eval.max-new-tokens {2 * session.config.eval.max_new_tokens}"
        found.append(replace(cut, next=longer))
    found += [_proof(split) for split in leaked]
    if found or findings.of(session.db, experiment, source=SOURCE):
        findings.replace(session.db, SOURCE, found, experiment=experiment, attempt=n)
    if leaked and experiment != ROOT:
        contaminate(session, experiment, f"it knows the canary of {', '.join(leaked)}: it was trained on sealed items")


def _said(session: Session, experiment: str, graded: list[ItemResult], *, epoch: str) -> Iterable[Said]:
    """The first output for each dev item, beside the base's and the target."""
    root = experiments.get(session.db, ROOT)
    base: Mapping[str, str | None] = {}
    if experiment != ROOT and root.primary_attempt is not None:
        rows = results.items(session.db, ROOT, n=root.primary_attempt, eval_hash=epoch)
        base = {row.item: row.output for row in rows if row.sample == 0}
    try:
        targets = {item.id: item.target for item in seal.load_split(session.layout.root, "dev")}
    except EvoError:
        targets = {}
    best = session.metric.high if session.metric.sign > 0 else session.metric.low
    for row in graded:
        if row.sample == 0 and row.output is not None:
            is_lost = row.is_cut_off and row.score != best
            yield Said(row.output, base.get(row.item), targets.get(row.item), is_lost)


def _marks(session: Session) -> Marks:
    config = session.config.eval
    return Marks(config.pattern if config.scorer == "regex" else "", config.choices)


def answered(eval_dir: Path) -> list[str]:
    """The splits whose canary the model answered."""
    try:
        return [row.item for row in read_results(eval_dir / CANARY)[1] if row.score > 0]
    except EvoError:
        return []  # never asked


def quoted(session: Session, graded: Iterable[ItemResult]) -> list[str]:
    """The splits whose canary stands in a dev output."""
    secrets = {word for row in graded if row.output for word in _SECRET.findall(row.output)}
    if not secrets:
        return []
    known = canaries(session)
    return [
        split for split, item in known.items() if any(secret in f"{item.question} {item.target}" for secret in secrets)
    ]


def _proof(split: str) -> Finding:
    what = f"the model knows the canary of {split}, which stands nowhere but in the sealed file"
    return Finding(SOURCE, CANARY, "block", what, {"split": split}, "evo data status")


def contaminate(session: Session, experiment: str, reason: str) -> None:
    """A late finding: a certificate is void first, the score stays on record."""
    state = experiments.get(session.db, experiment).state
    if state == "committed":
        gate_rows.void(session.db, experiment, reason=reason)
        state = "open"
    if state in ("open", "pending", "failed"):
        experiments.move(session.db, experiment, "contaminated", reason=reason, class_="data")
