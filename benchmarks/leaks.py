"""Does evo notice? 100 items hidden among training rows by ten strategies: recall of each, and false alarms.

    python benchmarks/leaks.py items.jsonl            {"prompt", "target"} or {"messages"} rows, or a CSV with a header
    python benchmarks/leaks.py items.jsonl --time     how long 100,000 rows take against 2,000 sealed items

Half of the items (2,000 at most) are sealed, the rest are ordinary training rows. A sealed item counts as found where a
row that holds it *blocks*, by its id and line. False alarms are ordinary rows that block; rows that are the same text
as a sealed item, or a near-duplicate of one (word-set Jaccard index of .8 from ten words on), are no ordinary rows and
are counted apart; an item that more than three rows resemble is made from a template, and they are ordinary rows.
"""

from __future__ import annotations

import argparse
import ast
import csv
import json
import random
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from evo.config import LeaksConfig
from evo.data.leaks.check import check_file
from evo.data.leaks.index import SHORT
from evo.data.leaks.passages import Gold, evident_answers
from evo.data.leaks.similar import SimilarSets
from evo.data.leaks.texts import stream_of
from evo.data.reader import read_rows
from evo.data.text import normalise
from evo.domain.item import Item, parse_item

HIDDEN = 100
MOST_SEALED = 2000
FEW = 3
MANY = 100
"""A row that resembles so many sealed items is of their template, whichever they are."""
ANSWER_CHARS = LeaksConfig().answer_chars
Row = dict[str, object]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--time", action="store_true", help="100,000 rows against 2,000 sealed items")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--missed", action="store_true", help="show what was not found")
    options = parser.parse_args()
    items = load(options.file)
    if len(items) < 4:
        print(f"{options.file}: {len(items)} items are too few to hide some and keep some", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        report = timing(items, Path(folder)) if options.time else recall(items, Path(folder), options)
    print(json.dumps(report) if options.json else table(report))
    return 0


def load(path: Path) -> list[Item]:
    """The items of a file, each once."""
    if path.suffix == ".csv":
        with path.open(newline="") as file:
            rows = [list(row.values()) for row in csv.DictReader(file)]
        items = [parse_item({"prompt": row[0], "target": row[1] if len(row) > 1 else ""}) for row in rows]
    else:
        items = [parse_item(row.data, needs_target=False) for row in read_rows(path)]
    once = {(normalise(item.question), item.target): item for item in items if item.question.strip()}
    return list(once.values())


def divide(items: list[Item], seed: int) -> tuple[list[Item], list[Item], int]:
    """Sealed items, ordinary ones, and how many of the latter were left out as the former's duplicates."""
    drawn = sorted(items, key=lambda item: item.id)
    random.Random(seed).shuffle(drawn)
    count = min(MOST_SEALED, len(drawn) // 2)
    sealed, rest = drawn[:count], drawn[count:]
    bags = [frozenset(stream_of([item.question]).words) for item in drawn]
    texts = {normalise(item.question) for item in sealed}
    similar = SimilarSets([bag if len(bag) >= SHORT else frozenset() for bag in bags[:count]], LeaksConfig().similar)
    alike = [
        {hit.number for hit in similar.like(bag, most=MANY)} if len(bag) >= SHORT else set() for bag in bags[count:]
    ]
    resembling = Counter(number for numbers in alike for number in numbers)
    ordinary = [
        item
        for item, numbers in zip(rest, alike, strict=True)
        if normalise(item.question) not in texts
        and (len(numbers) == MANY or not any(resembling[number] <= FEW for number in numbers))
    ]
    return sealed, ordinary, len(rest) - len(ordinary)


def recall(items: list[Item], folder: Path, options: argparse.Namespace) -> dict[str, object]:
    sealed, ordinary, duplicates = divide(items, options.seed)
    plain = [row_of(item) for item in ordinary]
    alarms = blocked(plain, sealed, folder)
    warned = {line for line, _, severity in alarms if severity == "warn"}
    blocks = {line for line, _, severity in alarms if severity == "block"}
    if options.missed:
        told = {line: name for line, name, severity in alarms if severity == "block"}
        texts = {item.id: item.question for item in sealed}
        for line in sorted(blocks)[:20]:
            print(f"false alarm: {ordinary[line - 1].question!r} for {texts[told[line]]!r}", file=sys.stderr)
    found: dict[str, object] = {}
    for name, (is_fit, hide) in STRATEGIES.items():
        draw = random.Random(f"{options.seed}/{name}")
        fit = fitting(sealed, is_fit)
        hidden = draw.sample(fit, min(HIDDEN, len(fit)))
        found[name] = score(hide, hidden, plain, sealed, folder, draw) if hidden else None
        if options.missed and hidden:
            print(f"{name}: missed {found[name]['missed'][:5]}", file=sys.stderr)  # type: ignore[index]
    rate = len(blocks) / max(1, len(plain))
    counted = {"items": len(items), "sealed": len(sealed), "ordinary": len(plain), "duplicates": duplicates}
    alarm = {"rate": rate, "rows": len(blocks), "warned": len(warned - blocks) / max(1, len(plain))}
    return {"counted": counted, "recall": found, "false_alarms": alarm}


def fitting(sealed: list[Item], is_fit: Callable[[Item], bool]) -> list[Item]:
    if is_fit is has_answer:  # a label that many items share hides none of them
        return [sealed[index] for index in evident_answers(sealed, ANSWER_CHARS)]
    return [item for item in sealed if is_fit(item)]


def score(
    hide: Callable[[Item, random.Random], Row], hidden: list[Item], plain: list[Row], sealed: list[Item],
    folder: Path, draw: random.Random,
) -> dict[str, object]:  # fmt: skip
    """Each hidden item has a row of its own among the plain ones, and must be named on its line."""
    rows = [(None, row) for row in plain[:5000]] + [(item.id, hide(item, draw)) for item in hidden]
    draw.shuffle(rows)
    seen = blocked([row for _, row in rows], sealed, folder)
    blocks = {(line, item) for line, item, severity in seen if severity == "block"}
    places = [(line, item, row) for line, (item, row) in enumerate(rows, start=1) if item is not None]
    missed = [row for line, item, row in places if (line, item) not in blocks]
    warned = {(line, item) for line, item, _ in seen} - blocks
    only_warned = sum((line, item) in warned for line, item, _ in places)
    return {"n": len(hidden), "recall": 1 - len(missed) / len(hidden), "warned": only_warned, "missed": missed}


def blocked(rows: Iterable[Row], sealed: list[Item], folder: Path) -> list[tuple[int, str, str]]:
    file = folder / "train.jsonl"
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    found = check_file(file, [Gold("heldout", sealed)], LeaksConfig()).matches
    return [(match.line, match.item, match.severity) for match in found]


def timing(items: list[Item], folder: Path) -> dict[str, object]:
    """Rows and items are made of the file's own words where it has too few."""
    draw = random.Random(0)
    texts = [item.question for item in items]
    sealed = [item for item in items[:MOST_SEALED]]
    while len(sealed) < MOST_SEALED:
        sealed.append(parse_item({"prompt": shuffled(draw.choice(texts), draw), "target": "x"}))
    rest = texts[len(texts) // 2 :]
    rows = [
        {"prompt": shuffled(draw.choice(rest), draw), "target": shuffled(draw.choice(rest), draw)}
        for _ in range(100_000)
    ]
    start = time.perf_counter()
    blocked(rows, sealed, folder)
    seconds = time.perf_counter() - start
    size = (folder / "train.jsonl").stat().st_size
    return {"rows": len(rows), "sealed": len(sealed), "megabytes": size / 1e6, "seconds": seconds}


def shuffled(text: str, draw: random.Random) -> str:
    words = text.split()
    draw.shuffle(words)
    return " ".join(words)


def table(report: dict[str, object]) -> str:
    if "recall" not in report:
        return "{rows:,} rows ({megabytes:.1f} MB) against {sealed:,} sealed items: {seconds:.1f} s".format(**report)
    lines = ["{items:,} items: {sealed:,} sealed, {ordinary:,} ordinary, {duplicates} left out as duplicates".format(
        **report["counted"])]  # type: ignore[arg-type]  # fmt: skip
    lines += ["", "| strategy | hidden | recall | only warned |", "|---|---|---|---|"]
    for name, found in report["recall"].items():  # type: ignore[attr-defined]
        said = (
            "| 0 | none fits | |" if found is None else f"| {found['n']} | {found['recall']:.1%} | {found['warned']} |"
        )
        lines.append(f"| {name} {said}")
    said = "{rows} rows, {rate:.2%} (warned {warned:.2%})".format(**report["false_alarms"])  # type: ignore[arg-type]
    return "\n".join([*lines, "", f"false alarms: {said}"])


def row_of(item: Item) -> Row:
    return {"prompt": item.question, "target": item.target or ""}


def has_answer(item: Item) -> bool:
    return len(item.target or "") >= ANSWER_CHARS


def has_code(item: Item) -> bool:
    return any(tree_of(text) is not None for text in code_parts(item))


def is_long(item: Item) -> bool:
    return len(item.question.split()) >= 20


def verbatim(item: Item, _draw: random.Random) -> Row:
    return row_of(item)


def case_and_marks(item: Item, draw: random.Random) -> Row:
    """Other case, marks that end clauses taken off or put on; what a formula consists of stays."""
    text = draw.choice((str.upper, str.lower, str.swapcase))(item.question)
    text = re.sub(r"[?;…\"“”]|[.,:!](?!\d)(?<!\d.)", lambda mark: draw.choice(("", mark[0], " " + mark[0])), text)
    return {"prompt": f"{text}{draw.choice(('', '!', '?', '...', '.'))}", "target": (item.target or "").upper()}


def spacing(item: Item, draw: random.Random) -> Row:
    invisible = ("\u200b", "\u200c", "\u200d", "\u2060", "\ufeff", "\u00ad")
    wide = (" ", "  ", "\t", "\u00a0", "\u2003", "\n")
    text = "".join(
        draw.choice(wide) if c == " " else c + (draw.choice(invisible) if draw.random() < 0.2 else "")
        for c in item.question
    )
    return {"prompt": f"  {text} ", "target": f" {item.target or ''}\n"}


def shuffled_fields(item: Item, draw: random.Random) -> Row:
    kinds: list[Row] = [
        {"target": item.question, "prompt": item.target or "-"},
        {"meta": {"notes": [item.question]}, "prompt": "Go on.", "completion": item.target or "-"},
        {"messages": [{"role": "system", "content": item.target or "-"}, {"role": "user", "content": "Hello"},
                      {"role": "assistant", "content": item.question}]},
        {"text": f"Answer: {item.target}\nQuestion: {item.question}"},
    ]  # fmt: skip
    return draw.choice(kinds)


def embedded(item: Item, draw: random.Random) -> Row:
    before, after = draw.sample(FILLER, 2)
    return {"text": f"{before} {item.question} {after}" + (f" {item.target}" if draw.random() < 0.5 else "")}


def answer_only(item: Item, draw: random.Random) -> Row:
    return {"prompt": draw.choice(FILLER), "target": item.target or ""}


def light_edits(item: Item, draw: random.Random) -> Row:
    """One word in ten replaced, left out or doubled; numbers stay, for with others it is another question."""
    parts = re.split(r"(\s+)", item.question)
    places = [k for k in range(0, len(parts), 2) if parts[k].strip(".,?!").isalpha()]
    for place in draw.sample(places, min(len(places), len(item.question.split()) // 10)):
        parts[place] = draw.choice((draw.choice(OTHER_WORDS), "", f"{parts[place]} {draw.choice(OTHER_WORDS)}"))
    return {"prompt": "".join(parts), "target": item.target or ""}


def renamed(item: Item, draw: random.Random) -> Row:
    """The code alone, every name of its own replaced and its docstrings gone."""
    tree = next(tree for text in code_parts(item) if (tree := tree_of(text)) is not None)
    names: dict[str, str] = {}
    Renaming(names, draw).rename(tree)
    return {"prompt": draw.choice(FILLER), "completion": ast.unparse(tree)}


def paraphrase(item: Item, draw: random.Random) -> Row:
    """By template: a frame around the question, and common words replaced."""
    text = " ".join(SYNONYMS.get(word.lower(), word) for word in item.question.split())
    frame = draw.choice(
        ("Please tell me: {}", "I would like to know, {} Thanks.", "Somebody asked me {} What do I say?")
    )
    return {"prompt": frame.format(text[:1].lower() + text[1:]), "target": item.target or ""}


def translation(item: Item, _draw: random.Random) -> Row:
    """Word by word, by a small dictionary: no translator is at hand, and this is the easier half of one."""
    words = [GERMAN.get(word.lower().strip(".,?!"), word) for word in item.question.split()]
    return {"prompt": " ".join(words), "target": item.target or ""}


def code_parts(item: Item) -> tuple[str, ...]:
    target = item.target or ""
    return (item.question + target, f"{item.question}\n{target}", target, item.question)


def tree_of(text: str) -> ast.Module | None:
    """The tree of a text that defines a function of more than a line."""
    if "def " not in text:
        return None
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return None
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    return tree if any(len(list(ast.walk(node))) > 60 for node in functions) else None


class Renaming(ast.NodeTransformer):
    """Every name that the code gives gets another one; docstrings go."""

    def __init__(self, names: dict[str, str], draw: random.Random) -> None:
        self._names, self._draw = names, draw

    def rename(self, tree: ast.Module) -> None:
        elsewhere = {name for node in ast.walk(tree) if isinstance(node, ast.Global) for name in node.names}
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                if node.id not in elsewhere:
                    self._new(node.id)
            elif isinstance(node, (ast.FunctionDef, ast.arg)):
                self._new(node.name if isinstance(node, ast.FunctionDef) else node.arg)
        self.visit(tree)

    def _new(self, name: str) -> str:
        if name not in self._names:
            self._names[name] = f"{self._draw.choice(OTHER_WORDS)}_{len(self._names)}"
        return self._names[name]

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        if ast.get_docstring(node) is not None and len(node.body) > 1:
            node.body = node.body[1:]
        node.name = self._new(node.name)
        self.generic_visit(node)
        return node

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.arg = self._new(node.arg)
        return node

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if node.id in self._names:
            node.id = self._new(node.id)
        return node


FILLER = (
    "Thank you for writing to us today.",
    "The weather was fine, and the train came on time.",
    "We had a long talk about it after dinner.",
    "My sister keeps a garden behind the old house.",
    "Let us look at this from the beginning.",
    "Nobody had expected that the shop would be open so late.",
    "He put the letter on the table and left.",
    "There is more to say about this than one page can hold.",
)
OTHER_WORDS = ("table", "window", "green", "river", "lamp", "quietly", "seven", "garden", "paper", "music")
SYNONYMS = {
    "how": "in what way", "why": "for what reason", "can": "may", "card": "bank card", "money": "funds", "want": "wish",
    "get": "receive", "use": "make use of", "help": "assist", "find": "discover", "many": "what number of",
    "make": "produce",
    "need": "require", "the": "that", "is": "happens to be", "write": "compose", "what": "which thing",
}  # fmt: skip
GERMAN = {
    "how": "wie", "why": "warum", "what": "was", "where": "wo", "when": "wann", "i": "ich", "my": "meine", "the": "die",
    "a": "eine", "is": "ist", "are": "sind", "do": "tue", "can": "kann", "card": "karte", "money": "geld", "to": "zu",
    "not": "nicht", "and": "und", "in": "in", "of": "von", "for": "für", "it": "es", "this": "dies", "have": "habe",
    "with": "mit", "on": "auf", "many": "viele", "was": "war", "get": "bekomme", "an": "eine", "from": "von",
}  # fmt: skip


def any_item(_item: Item) -> bool:
    return True


STRATEGIES: dict[str, tuple[Callable[[Item], bool], Callable[[Item, random.Random], Row]]] = {
    "verbatim": (any_item, verbatim),
    "case and punctuation": (any_item, case_and_marks),
    "whitespace and zero-width": (any_item, spacing),
    "shuffled fields": (any_item, shuffled_fields),
    "embedded in a longer text": (any_item, embedded),
    "answer only (≥ 20 characters)": (has_answer, answer_only),
    "light edits (≥ 20 words)": (is_long, light_edits),
    "renamed identifiers in code": (has_code, renamed),
    "paraphrase by template": (any_item, paraphrase),
    "translation, word by word": (any_item, translation),
}

if __name__ == "__main__":
    raise SystemExit(main())
