"""How set-up, data, upkeep and the outcome of writers look."""

from __future__ import annotations

from evo.cli.blocks import Block, Cell, Table, Text
from evo.domain.upkeep_views import (
    CheckView,
    DatasetView,
    DataStatusView,
    DoctorView,
    FindingsView,
    GarbageView,
    InitView,
    LeaksView,
    RateAdvice,
    RecipeCheckView,
    RecipeDetailView,
    RecipesView,
    RetractView,
    ScratchView,
    SettingsView,
    SweptView,
)
from evo.domain.views import CertifyView, NewGridView, NewView, ReleaseView


def init(view: InitView) -> list[Block]:
    blocks: list[Block] = [Text(f"workspace {view.root}", "bold")]
    if view.model is not None:
        blocks.append(Text(f"  base model  {view.model}", note=f"sha256 {(view.model_sha256 or '')[:12]}, pinned"))
    if view.splits:
        parts = ", ".join(f"{n} {split}" for split, n in view.splits.items() if n)
        blocks.append(Text(f"  items       {parts}", note="held-out and vault are sealed"))
        blocks.append(Text(f"  power       {power(view.asks_at, view.certifies)}"))
    return [*blocks, Text(f"  baseline    {view.baseline}")]


def power(asks_at: float | None, certifies: float | None) -> str:
    return (
        f"the gate is asked from a dev gain of {100 * (asks_at or 0):.1f} points;"
        f" a true gain of {100 * (certifies or 0):.1f} is certified with 80 % power"
    )


def settings(view: SettingsView) -> list[Block]:
    rows = [(key, "none" if value in (None, "", []) else str(value)) for key, value in view.settings.items()]
    return [Table(("KEY", "VALUE"), rows)]


def recipes(view: RecipesView) -> list[Block]:
    rows = [
        (r.name, r.technique, r.reward_shape, "shipped" if r.shipped else "workspace", r.description)
        for r in view.recipes
    ]
    return [Table(("RECIPE", "TECHNIQUE", "REWARD", "FROM", "WHAT IT DOES"), rows)]


def recipe(view: RecipeDetailView) -> list[Block]:
    head: list[Block] = [
        Text(f"{view.name}  {view.technique}", "bold", note=view.folder),
        Text(view.description),
        Text(f"  starts from {view.init_from}; reward: {view.reward_shape}; data: {', '.join(view.data) or 'none'}"),
    ]
    rows = [
        (p.name, p.type, "required" if p.default is None else str(p.default), p.range, searched(p.search), p.doc)
        for p in view.params
    ]
    columns = ("PARAMETER", "TYPE", "DEFAULT", "RANGE", "LOOP LOOKS AT", "WHAT IT IS")
    return [*head, Table(columns, rows), *rate_advice(view.advice)]


def searched(values: list[float | int | str | bool]) -> str:
    """`1e-07 to 1e-05`, or the values."""
    words = [f"{value:.3g}" if isinstance(value, float) else str(value) for value in values]
    is_range = len(values) == 2 and not any(isinstance(value, (str, bool)) for value in values)
    return (" to " if is_range else ", ").join(words)


def rate_advice(advice: RateAdvice | None) -> list[Block]:
    if advice is None:
        return []
    if advice.lora_learning_rate is None:
        return [Text(f"no advice on the learning rate: {advice.reason}", "yellow")]
    size = f"{advice.family}, hidden size {advice.hidden_size}"
    return [Text(f"a LoRA on {advice.model} ({size}) begins at learning_rate={advice.lora_learning_rate:.2e}", "green")]


def recipe_check(view: RecipeCheckView) -> list[Block]:
    return [Text(f"✗ {problem}", "red") for problem in view.problems] or [Text("✓ in order", "green")]


def data_status(view: DataStatusView) -> list[Block]:
    rows = [
        (split, str(n), "sealed" if split in ("heldout", "vault") else "readable") for split, n in view.splits.items()
    ]
    for guard in view.guards:
        sealed = "sealed" if guard.intact else "BROKEN"
        rows += [
            (f"guard {guard.name} dev", str(guard.dev), "readable"),
            (f"guard {guard.name} heldout", str(guard.heldout), sealed),
        ]
    return [
        Table(("SPLIT", "ITEMS", "STATE"), rows, frozenset({"ITEMS"})),
        Text(f"looks  {view.looks.used} of {view.looks.limit} used"),
        *([Text(f"power  {power(view.asks_at, view.certifies)}")] if view.splits else []),
        Text("seal   intact" if view.intact else "seal   BROKEN", "" if view.intact else "red"),
        *_listed(view.datasets),
    ]


def _listed(views: list[DatasetView]) -> list[Block]:
    return [Text(""), _datasets(views)] if views else []


def _datasets(views: list[DatasetView]) -> Table:
    rows: list[list[str | Cell]] = [
        [
            view.sha256[:12],
            view.path,
            str(view.lines),
            view.derived and "from dev failures",
            Cell("stands", "") if view.retracted is None else Cell(f"RETRACTED {view.retracted}".rstrip(), "red"),
            ", ".join(view.experiments[:6]) + (" …" if len(view.experiments) > 6 else ""),
        ]
        for view in views
    ]
    return Table(("DATASET", "PATH", "LINES", "MADE", "STANDING", "TRAINED ON BY"), rows, frozenset({"LINES"}))


def dataset(view: DatasetView) -> list[Block]:
    made = ", ".join(entry[:12] for entry in view.parents)
    return [_datasets([view]), *([Text(f"made from  {made}", note=view.transform)] if made else [])]


def retracted(view: RetractView) -> list[Block]:
    if not view.changed:
        return [Text(f"{view.path} was retracted before: nothing changed")]
    return [
        Text(f"retracted  {', '.join(view.datasets)}", "bold"),
        Text(f"experiments  {', '.join(view.experiments[:20]) or 'none trained on it'}"),
        Text(f"certificates made void  {', '.join(view.voided[:20]) or 'none'}"),
    ]


def leaks(view: LeaksView) -> list[Block]:
    if not view.findings:
        return [Text(f"✓ none of {view.lines} lines holds an evaluation item", "green")]
    rows = [
        (f.severity, f"{f.file}:{f.line}", f.split, f.item, f.part, f.method, f"{f.score:.2f}") for f in view.findings
    ]
    table = Table(("", "WHERE", "SPLIT", "ITEM", "WHAT", "FOUND BY", "SCORE"), rows, frozenset({"SCORE"}))
    counted = f"of {view.lines} lines {view.blocking} contaminate what is trained on them, {view.warning} look like it"
    return [
        table,
        *([Text("… and more")] if view.truncated else []),
        Text(counted, "red" if view.blocking else "yellow"),
    ]


def scratch(view: ScratchView) -> list[Block]:
    numbers = f"{view.what}: {view.mean:.3f} ± {1.96 * view.se:.3f} on {view.n} items"
    often = f", pass@{view.samples} {view.pass_at:.3f}" if view.pass_at is not None else ""
    head = Text(numbers + often, "bold", "scratch, not a score")
    rows = [(name, f"{mean:.3f}") for name, mean in view.slices.items()]
    return [head, Table(("SLICE", "MEAN"), rows)] if rows else [head]


def findings(view: FindingsView) -> list[Block]:
    if not view.findings:
        return [Text("✓ the tree is right", "green")]
    rows = [(f.severity, f.what, f.fix) for f in view.findings]
    return [Table(("SEVERITY", "WHAT", "FIX"), rows)]


def garbage(view: GarbageView) -> list[Block]:
    said = "deleted" if view.deleted else "can be deleted"
    total = Text(f"{len(view.paths)} folders, {view.bytes / 1e6:.1f} MB {said}")
    return [total, *(Text(f"  {path}") for path in view.paths)]


def doctor(view: DoctorView) -> list[Block]:
    return [Table(("", "CHECK", "FOUND", "FIX"), [_check(check) for check in view.checks])]


def _check(check: CheckView) -> list[str | Cell]:
    mark = Cell("✓", "green") if check.ok else Cell("✗", "red")
    return [mark, check.name, check.found, "" if check.ok else check.fix]


def swept(view: SweptView) -> list[Block]:
    blocks: list[Block] = [Text(f"{name}: {said}") for name, said in view.messages.items()]
    blocks += [Text(f"{name}: {said}", "red") for name, said in view.failures.items()]
    kinds = (
        (view.owed, "evaluation owed"),
        (view.interrupted, "interrupted: evo run goes on"),
        (view.lost, "lost, does not count"),
        (view.running, "running"),
    )
    for names, said in kinds:
        blocks += [Text(f"{name}: {said}") for name in names]
    return blocks or [Text("nothing to take in")]


def new(view: NewView) -> list[Block]:
    said = "created" if view.created else "is there already"
    how = f"parent {view.parent}" + (f", picked by {view.picked_by}" if view.picked_by else "")
    return [Text(f"{view.id} {said}", "bold", how), Text(f"  {view.worktree}")]


def grid(view: NewGridView) -> list[Block]:
    return [block for one in view.experiments for block in new(one)]


def certify(view: CertifyView) -> list[Block]:
    return [Text(view.message, "bold green" if view.passed else "yellow")]


def release(view: ReleaseView) -> list[Block]:
    v = view.vault
    number = f"{view.id}  {v.mean:.3f}  [{v.low:.3f}, {v.high:.3f}]"
    return [Text(number, "bold", f"{v.n} items, {v.source}, 95 %"), Text(view.message)]
