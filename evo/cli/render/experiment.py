"""How one experiment looks, and how two look side by side.

Invariant: the score stands first; the shrunken estimate is called by its name and never the gain.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from evo.cli.blocks import Block, Cell, Table, Text, width
from evo.cli.live.palette import number, signed
from evo.cli.live.vitals import beat_words, metric_words, mid_words, pace_words, spark
from evo.cli.render import words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evo.domain.guard_views import GuardView
    from evo.domain.read_views import ChangeView, CompareView, CurveView, FileChangeView
    from evo.domain.run_views import MidView, ReadingsView
    from evo.domain.views import AttemptView, CertificateView, ExperimentView, FindingView

MOST_FILES = 20
MOST_FLIPS = 10


def show(view: ExperimentView) -> list[Block]:
    cell = words.standing(view.state, running=view.running)
    blocks: list[Block] = [Text(f"{view.id}  {cell.text}", style=f"bold {cell.style}".strip())]
    blocks += [_line(name, text) for name, text in _facts(view) if text]
    if view.attempts:
        blocks += [Text(""), attempts(view.attempts)]
        failed = [attempt for attempt in view.attempts if attempt.outcome not in (None, "ok")]
        blocks += [Text(f"log  {attempt.log}", style="dim") for attempt in failed[-1:]]
    if view.slices:
        blocks += [Text(""), slices(view)]
    return [*blocks, Text(""), Text(words.one_line(view.message))] if view.message else blocks


def _line(name: str, text: str) -> Text:
    return Text(f"  {name:<18}  {text}")


def _facts(view: ExperimentView) -> list[tuple[str, str]]:
    recipe = view.recipe
    technique = "" if recipe.technique == recipe.name else f" ({recipe.technique})"
    params = ", ".join(f"{key}={words.value(value)}" for key, value in recipe.params.items())
    on_dev = (
        "" if view.score is None else f"  on {view.score.n} {view.counted}" + (f", {view.claim}" if view.claim else "")
    )
    cost = f"{words.duration(view.cost.wall_seconds)}, {view.cost.gpu_seconds:.0f} GPU s"
    marks = ", ".join(word for word, holds in _marks(view) if holds)
    return [
        ("hypothesis", words.one_line(view.hypothesis)),
        ("recipe", words.one_line(recipe.name + technique) + (f"  {params}" if params else "")),
        ("score", words.score(view.score) + on_dev),
        (
            "corrected",
            "" if view.corrected is None else f"{number(view.corrected)}  for having been chosen as the best",
        ),
        (f"against {view.parent}", words.interval(view.delta) if view.delta else ""),
        ("shrunken estimate", f"{words.interval(view.shrunken)} over exp_0000" if view.shrunken else ""),
        *live_facts(view),
        *readings(view.readings),
        ("certificate", "" if view.certificate is None else _certificate(view.certificate)),
        ("marks", marks),
        ("reason", words.one_line(view.reason)),
        ("insight", words.one_line(view.insight)),
        ("cost", cost if view.cost.wall_seconds else ""),
        ("children", ", ".join(view.children[:8]) + (" …" if len(view.children) > 8 else "")),
        ("worktree", view.worktree),
        *(("guard", guard(found)) for found in view.guards),
        *(("finding", finding(found)) for found in view.findings if not found.settled),
        *(("note", words.one_line(note)) for note in view.notes[:5]),
    ]


def _marks(view: ExperimentView) -> tuple[tuple[str, bool], ...]:
    exposed = "dev-exposed (data made from dev failures)"
    return ("no-op", view.noop), ("forbidden outputs", view.forbidden), (exposed, view.dev_exposed)


def guard(view: GuardView) -> str:
    """`basics 0.912 ± 0.031 on 34 items, −0.012 [−0.060, +0.036] against exp_0000: holds (margin 0.03)`"""
    if view.mean is None:
        return f"{view.name}: {view.note}"
    says = {True: "holds", False: "HARMED", None: view.note or "dev cannot tell"}[view.holds]
    change = f", {words.interval(view.delta)}" if view.delta else ""
    kind = "" if view.required else ", report only"
    return f"{view.name}  {number(view.mean)} on {view.n} items{change}: {says} (margin {view.margin:g}{kind})"


def finding(view: FindingView) -> str:
    """`block: leaks/exact: data/train.jsonl, line 3 … → evo data check data/train.jsonl`"""
    step = f"  → {view.next}" if view.next else ""
    return words.one_line(f"{view.severity}: {view.source}/{view.kind}: {view.message}{step}", most=300)


def live_facts(view: ExperimentView) -> list[tuple[str, str]]:
    """What it says of itself while it runs, and how its checkpoints stood once it has ended."""
    if view.vitals is None:
        return [("mid-evaluations", checkpoints(view.mids))]
    pace = [word for word in (*pace_words(view.vitals), beat_words(view.vitals)) if word]
    return [
        ("now", "  ".join(pace) or "nothing logged yet"),
        ("metrics", "  ".join(metric_words(view.vitals))),
        ("mid-evaluations", mid_words(view.vitals.mids).removeprefix("mid ")),
    ]


def checkpoints(mids: Sequence[MidView]) -> str:
    """`▁▆▃ best 0.620 at step 200, last 0.550 at step 300`."""
    best = next((mid for mid in mids if mid.is_best), None)
    if best is None:
        return ""
    last = "" if mids[-1] is best else f", last {number(mids[-1].mean)} at step {mids[-1].step}"
    return f"{spark([mid.mean for mid in mids])} best {number(best.mean)} at step {best.step}{last}"


def readings(view: ReadingsView | None) -> list[tuple[str, str]]:
    """The reward beside the score, and a line for each reading that calls for a change."""
    if view is None:
        return []
    told = [("reading", f"{words.one_line(each.reading)}: {words.one_line(each.fix)}") for each in view.advice]
    if view.train_score is None or view.generalization_gap is None:
        return told
    reward = f"{number(view.train_score)} at the end of training, {signed(view.generalization_gap)} against dev"
    return [("reward", reward), *told]


def slices(view: ExperimentView) -> Table:
    """Means by slice, with the difference to the parent where there is one."""
    deltas = {part.slice: part for part in view.readings.per_slice_delta} if view.readings is not None else {}
    rows = [
        [words.one_line(name, most=40), number(mean), words.interval(deltas[name].delta) if name in deltas else "–"]
        for name, mean in view.slices.items()
    ]
    if not deltas:
        return Table(("SLICE", "MEAN"), [row[:2] for row in rows], right=frozenset({"MEAN"}))
    return Table(("SLICE", "MEAN", f"AGAINST {view.parent}"), rows, right=frozenset({"MEAN"}))


def _certificate(view: CertificateView) -> str:
    answer = "passed" if view.passed else "not passed"
    void = ", void" if view.void else ""
    lineage = f", lineage {view.lineage}" if view.lineage else ""
    how = f"look {view.look}, {view.mode}, isolation: {view.isolation}{void}{lineage}"
    return f"{answer} against {view.against} ({how})"


def attempts(views: list[AttemptView]) -> Table:
    rows: list[list[str | Cell]] = [
        [
            str(a.n),
            str(a.seed),
            Cell(a.outcome or a.state, "red" if a.outcome not in (None, "ok") else ""),
            a.class_ or "–",
            words.duration(a.seconds),
            Cell(a.isolation, "red" if a.isolation == "none" else ""),
            words.one_line(a.message, most=60),
        ]
        for a in views
    ]
    titles = ("ATTEMPT", "SEED", "OUTCOME", "CLASS", "TIME", "ISOLATION", "")
    return Table(titles, rows, right=frozenset({"ATTEMPT", "SEED"}))


def compare(view: CompareView) -> list[Block]:
    a, b = view.a, view.b
    rows: list[list[str | Cell]] = [
        [
            side.id,
            words.standing(side.state),
            words.score(side.score) + ("" if side.corrected is None else f", corrected {number(side.corrected)}"),
            words.one_line(side.recipe, most=16),
            words.one_line(side.hypothesis, most=60),
        ]
        for side in (a, b)
    ]
    change = f"{b.id} − {a.id}  {words.interval(view.delta)}"
    blocks: list[Block] = [
        Table(("EXPERIMENT", "STANDING", "DEV SCORE", "RECIPE", "HYPOTHESIS"), rows),
        Text(""),
        Text(change, style="bold", note=f"{view.n} dev items: {view.gained} better, {view.lost} worse"),
    ]
    blocks += [Text(f"guard {guard(found)}") for found in view.guards]
    if exposed := [side.id for side in (a, b) if side.dev_exposed]:
        blocks.append(
            Text(f"dev-exposed: {', '.join(exposed)}; data made from dev failures flatters a dev score", "yellow")
        )
    blocks += _slices(view) + changes(view.changes, a.id, b.id) + files(view.files)
    return blocks + _curves(view) + _readings(view) + _flips(view)


def _readings(view: CompareView) -> list[Block]:
    """What either side's own numbers call for."""
    rows = [[name, fact, text] for name, found in view.readings.items() for fact, text in readings(found)]
    return [Text(""), Table(("EXPERIMENT", "READING", ""), rows)] if rows else []


def _slices(view: CompareView) -> list[Block]:
    if not view.slices:
        return []
    a, b = view.a.id, view.b.id
    rows = [
        [words.one_line(part.slice, most=40), str(part.n), number(part.a), number(part.b), words.interval(part.delta)]
        for part in view.slices
    ]
    return [Text(""), Table(("SLICE", "ITEMS", a, b, "DIFFERENCE"), rows, right=frozenset({"ITEMS", a, b}))]


def changes(views: list[ChangeView], a: str, b: str) -> list[Block]:
    if not views:
        return []
    rows = [[words.one_line(c.name, most=40), words.value(c.a), words.value(c.b)] for c in views]
    return [Text(""), Table(("CHANGED", a, b), rows)]


def files(views: list[FileChangeView]) -> list[Block]:
    if not views:
        return []
    rows: list[list[str | Cell]] = [[words.one_line(f.path, most=60), *_plus_minus(f)] for f in views[:MOST_FILES]]
    more = len(views) - MOST_FILES
    blocks: list[Block] = [Text(""), Table(("FILE", "ADDED", "REMOVED"), rows, right=frozenset({"ADDED", "REMOVED"}))]
    return blocks + ([Text(f"and {more} more files", style="dim")] if more > 0 else [])


def _plus_minus(view: FileChangeView) -> list[Cell]:
    if view.added is None or view.removed is None:
        return [Cell("binary"), Cell("binary")]
    return [Cell(f"+{view.added}", "green"), Cell(f"−{view.removed}", "red")]


def _curves(view: CompareView) -> list[Block]:
    def words_of(curve: CurveView) -> list[str]:
        losses = (curve.first_loss, curve.last_loss, curve.lowest_loss)
        return [str(curve.points), *("–" if loss is None else number(loss) for loss in losses)]

    rows = [[name, *words_of(curve)] for name, curve in view.curves.items() if curve is not None]
    titles = ("LOSS AS LOGGED", "POINTS", "FIRST", "LAST", "LOWEST")
    return [Text(""), Table(titles, rows, right=frozenset(titles[1:]))] if rows else []


def _flips(view: CompareView) -> list[Block]:
    if not view.flipped:
        return []
    room = max(12, (width() - 40) // 4)
    rows: list[list[str | Cell]] = [
        [
            words.one_line(f.id, most=18),
            f"{number(f.a)} → {number(f.b)}",
            *(words.one_line(text, most=room) for text in (f.input, f.expected, f.a_output, f.b_output)),
        ]
        for f in view.flipped[:MOST_FLIPS]
    ]
    more = view.gained + view.lost - len(rows)
    blocks: list[Block] = [Text(""), Table(("ITEM", "SCORE", "INPUT", "EXPECTED", view.a.id, view.b.id), rows)]
    return blocks + ([Text(f"and {more} more; --json shows up to --limit", style="dim")] if more > 0 else [])
