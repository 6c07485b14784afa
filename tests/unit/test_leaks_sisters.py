"""Items of one template and functions alike: a copy is found, a sister is left alone."""

from __future__ import annotations

import json
from pathlib import Path

from evo.config import LeaksConfig
from evo.data.leaks.check import check_file
from evo.data.leaks.passages import Gold
from evo.domain.item import Item, parse_item

STORY = (
    "{} the farmer has {} cows and {} sheep behind the house and sells {} of them at the market before winter comes."
    " How many animals does the farmer still have when the snow begins to fall? Answer with one number."
)
NAMES = ("Anna", "Boris", "Clara", "David", "Emma", "Felix", "Greta", "Hugo", "Irene", "Jonas")


def story(k: int) -> str:
    return STORY.format(NAMES[k % 10], 11 + k, 35 + 3 * k, 5 + k % 7)


def blocks(folder: Path, row: dict, items: list[Item]) -> list[str]:
    path = folder / "train.jsonl"
    path.write_text(json.dumps(row) + "\n")
    found = check_file(path, [Gold("heldout", items)], LeaksConfig()).matches
    return [hit.item for hit in found if hit.severity == "block"]


def test_an_edited_copy_of_a_templated_item_is_told_from_its_sister(tmp_path: Path) -> None:
    """A20 (1): numbers and names are its content; the template is nobody's."""
    items = [parse_item({"id": str(k), "prompt": story(k), "target": str(k)}) for k in range(30)]
    edited = story(7).replace("behind the", "behind lamp the").replace("still have", "still river have")
    assert blocks(tmp_path, {"prompt": edited}, items) == ["7"]
    assert blocks(tmp_path, {"prompt": story(7).replace("18 cows", "81 cows")}, items) == []
    assert blocks(tmp_path, {"prompt": edited.replace("18 cows", "81 cows")}, items) == []


def test_a_twin_in_code_is_no_copy(tmp_path: Path) -> None:
    """A small function with other literals is another one; renamed, it is the same."""
    wide = (
        'def info(w):\n    d = split(w.tk, w.tk.call("grid", "info", w.name))\n'
        '    if "in" in d:\n        d["in"] = w.f(d)\n    return d\n'
    )
    items = [parse_item({"id": "grid", "prompt": "Write the function.", "target": wide})]
    renamed = wide.replace("def info(w)", "def f(x)").replace("w.", "x.").replace(" d ", " e ").replace("d[", "e[")
    renamed = renamed.replace(" d:", " e:").replace("(d)", "(e)").replace("return d", "return e")
    assert blocks(tmp_path, {"prompt": "x", "completion": renamed}, items) == ["grid"]
    assert blocks(tmp_path, {"prompt": "x", "completion": renamed.replace("grid", "pack")}, items) == []
