"""The model card: where weights come from, what was measured and how far that can be believed.

Invariant: it states facts that it is given and computes none. Of held-out there is the one bit and the number of looks;
a vault number only after release. Front matter is what the hub reads: a base that is no hub id is not named there.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping

from evo.domain.views import CertificateView, IntervalView, LooksView, ScoreView, VaultView
from evo.lightdata import dataclass, field

UNCERTIFIED = "UNCERTIFIED"
_Z_95 = 1.959963984540054


@dataclass(frozen=True)
class Ancestor:
    """One experiment of the line of weights."""

    id: str
    state: str
    recipe: str
    hypothesis: str
    score: ScoreView | None
    is_declared: bool = False


@dataclass(frozen=True)
class DataFact:
    role: str
    source: str
    lines: int
    sha256: str


@dataclass(frozen=True)
class BaseFact:
    """`source` is a hub id or the name of a folder, never a path of this machine."""

    source: str
    sha256: str
    is_on_hub: bool


@dataclass(frozen=True)
class CardFacts:
    title: str
    experiment: str
    hypothesis: str
    kind: str
    """full, adapter, merged or files."""
    recipe: str
    technique: str
    params: Mapping[str, object]
    seed: int
    seeds: int
    weights_hash: str
    line: list[Ancestor]
    """From the base (or what was adopted) to the experiment itself."""
    data: list[DataFact]
    metric: str
    direction: str
    counted: str
    score: ScoreView | None
    delta: IntervalView | None
    """Paired difference to exp_0000, with run noise."""
    experiments: int
    certificate: CertificateView | None
    looks: LooksView
    vault: VaultView | None
    measured: Mapping[str, object]
    """How it was evaluated: backend, scorer, generation settings, epoch."""
    evo_version: str
    base: BaseFact | None = None
    system_prompt: str = ""
    state: str = ""
    state_reason: str = ""
    never_certified: str = ""
    """Why no certificate can ever be had; empty where one can."""
    tags: list[str] = field(default_factory=list)


def is_certified(certificate: CertificateView | None) -> bool:
    return certificate is not None and certificate.passed and not certificate.void


def model_card(facts: CardFacts) -> str:
    parts = [
        front_matter(facts),
        f"# {_line(facts.title)}\n\n{_line(facts.hypothesis)}",
        "\n\n".join(_warnings(facts)),
        _section("Score", _score(facts)),
        _section("Certificate", _certificate(facts)),
        _section("Lineage", _lineage(facts)),
        _section("Training", _training(facts)),
        _section("Data", _data(facts)),
        _section("How it was measured", _measured(facts)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def front_matter(facts: CardFacts) -> str:
    """YAML that the hub reads; every text is quoted as JSON, which is YAML too."""
    rows: list[tuple[str, object]] = []
    if facts.kind != "files":
        rows.append(("library_name", "peft" if facts.kind == "adapter" else "transformers"))
        rows.append(("pipeline_tag", "text-generation"))
    if facts.base is not None and facts.base.is_on_hub:
        rows.append(("base_model", facts.base.source))
        rows.append(("base_model_relation", "adapter" if facts.kind == "adapter" else "finetune"))
    status = "certified" if is_certified(facts.certificate) else "uncertified"
    rows.append(("tags", ["evo", status, *facts.tags]))
    return "---\n" + "".join(f"{key}: {json.dumps(value, ensure_ascii=False)}\n" for key, value in rows) + "---"


def _warnings(facts: CardFacts) -> Iterator[str]:
    if not is_certified(facts.certificate):
        because = facts.never_certified or "no held-out test has shown that these weights beat what they come from"
        said = _line(because[:1].upper() + because[1:])
        yield f"> **{UNCERTIFIED}.** {said}. What follows was measured on items that chose it."
    if facts.state in ("discarded", "contaminated"):
        yield f"> **{facts.state.upper()}**: {_line(facts.state_reason) or 'no reason was given'}."
    declared = [one.id for one in facts.line if one.is_declared]
    if declared:
        yield (
            f"> **Lineage declared.** {declared[0]} was trained elsewhere and adopted: evo has measured it, and has"
            " seen neither its training nor its data."
        )


def _score(facts: CardFacts) -> Iterator[str]:
    if facts.vault is not None:
        v = facts.vault
        interval = f"95 % interval {_number(v.low)} to {_number(v.high)}"
        yield f"**Final: {facts.metric} {_number(v.mean)}**, {interval}, on {v.n} items ({v.source}), opened once."
    if facts.score is None:
        yield "It has no score."
        return
    s = facts.score
    reach = _Z_95 * s.se
    over = "repeats of the benchmark alone" if facts.counted == "repeats" else "items alone"
    claim = "the weights of one run" if facts.seeds <= 1 else f"mean of {facts.seeds} seeds; the weights are one run's"
    better = "higher" if facts.direction == "max" else "lower"
    yield (
        f"{facts.metric} **{_number(s.mean)}**, 95 % interval {_number(s.mean - reach)} to {_number(s.mean + reach)}"
        f" (sampling of {over}), on {s.n} {facts.counted}; {better} is better; {claim}."
    )
    if facts.delta is not None:
        d = facts.delta
        yield (
            f"Against the untouched base: {_signed(d.mean)}, 95 % interval {_signed(d.low)} to {_signed(d.high)}"
            " (paired, run noise included)."
        )
    if facts.counted != "repeats":
        yield (
            f"The tree holds {facts.experiments} experiments, and dev scores chose between them:"
            " a dev score of a chosen experiment is optimistic."
        )


def _certificate(facts: CardFacts) -> Iterator[str]:
    found, looks = facts.certificate, facts.looks
    used = f"{looks.used} of {looks.limit} looks at the held-out items are used"
    if found is None:
        yield f"None was asked for, or none could be; {used}." if not facts.never_certified else "None."
        return
    if is_certified(found):
        yield (
            f"**Certified** against {found.against}: a paired test on sealed held-out items that no training run could"
            f" read by honest means said yes (look {found.look}, mode {found.mode}, isolation: {found.isolation})."
        )
    else:
        said = "void" if found.void else "not passed"
        yield (
            f"Asked against {found.against}: {said} (look {found.look}, mode {found.mode},"
            f" isolation: {found.isolation})."
        )
    if found.lineage:
        yield f"Lineage: {_line(found.lineage)}."
    yield f"One bit came back from held-out; {used}."


def _lineage(facts: CardFacts) -> Iterator[str]:
    if facts.base is not None:
        yield f"Base model: {_line(facts.base.source)} (weights sha256 `{facts.base.sha256}`)."
    rows = [
        (one.id, "declared" if one.is_declared else one.state, one.recipe, _scored(one.score), one.hypothesis)
        for one in facts.line
    ]
    yield _table(("experiment", "standing", "recipe", "dev score", "hypothesis"), rows)
    yield f"These weights: sha256 `{facts.weights_hash}` over names, shapes, precisions and bytes of the tensors."


def _training(facts: CardFacts) -> Iterator[str]:
    technique = "" if facts.technique == facts.recipe else f" ({facts.technique})"
    yield f"Recipe {_line(facts.recipe)}{technique}, seed {facts.seed}."
    if facts.params:
        yield _table(("parameter", "value"), [(key, _value(value)) for key, value in facts.params.items()])


def _data(facts: CardFacts) -> Iterator[str]:
    if not facts.data:
        yield "None that evo resolved."
        return
    rows = [(one.role, one.source, str(one.lines), f"`{one.sha256[:16]}`") for one in facts.data]
    yield _table(("role", "sources (rows drawn)", "rows", "sha256"), rows)
    yield "Before training, the rows were compared with all dev, held-out and vault items (normalised exact match)."


def _measured(facts: CardFacts) -> Iterator[str]:
    yield _table(("setting", "value"), [(key, _value(value)) for key, value in facts.measured.items()])
    if facts.system_prompt:
        fence = "`" * max(3, 1 + _longest_run(facts.system_prompt, "`"))
        yield f"System prompt, in training and in evaluation:\n\n{fence}text\n{facts.system_prompt}\n{fence}"
    yield f"Made with evo {facts.evo_version}."


def _section(title: str, lines: Iterable[str]) -> str:
    return f"## {title}\n\n" + "\n\n".join(lines)


def _table(titles: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    head = [f"| {' | '.join(titles)} |", f"|{'---|' * len(titles)}"]
    return "\n".join([*head, *(f"| {' | '.join(_line(cell) for cell in row)} |" for row in rows)])


def _line(text: str) -> str:
    """Text that others wrote, on one line and without a say in the page's form."""
    flat = " ".join(text.split())
    for sign in ("\\", "|", "<", "[", "#"):
        flat = flat.replace(sign, "\\" + sign)
    return flat


def _longest_run(text: str, sign: str) -> int:
    longest = run = 0
    for found in text:
        run = run + 1 if found == sign else 0
        longest = max(longest, run)
    return longest


def _value(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _number(value: float) -> str:
    return f"{value:.4g}"


def _signed(value: float) -> str:
    return f"{value:+.4g}"


def _scored(score: ScoreView | None) -> str:
    return "–" if score is None else f"{_number(score.mean)} ± {_number(_Z_95 * score.se)}"
