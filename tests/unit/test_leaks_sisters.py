"""Items of one template and functions alike: a copy is found, a sister is left alone."""

from __future__ import annotations

import json
import random
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


FAMILY = (
    "{0} is married to {1}. They have a child called {2}. {2} is married to {3}. They have a child called {4}."
    " What is {3} to {0}? Answer with one word only."
)
PEOPLE = (
    "Anna", "Clara", "Emma", "Greta", "Irene", "Karla", "Maria", "Olga", "Paula", "Rosa", "Sonja", "Tilda",
    "Boris", "David", "Felix", "Hugo", "Jonas", "Lukas", "Niels", "Otto", "Peter", "Quirin", "Simon", "Viktor",
)  # fmt: skip


def test_words_that_no_slot_takes_are_edits(tmp_path: Path) -> None:
    """A20 (1): an edit of an own word gives a copy away where no item has such a word at that place."""
    draw = random.Random(4)
    told = [draw.sample(PEOPLE, 5) for _ in range(151)]
    items = [parse_item({"id": str(k), "prompt": FAMILY.format(*told[k]), "target": "aunt"}) for k in range(150)]
    copied, sister = FAMILY.format(*told[8]), FAMILY.format(*told[150])
    for edited in (copied.replace(told[8][1], "river"), copied.replace("have a child", "lamp have child", 1)):
        assert blocks(tmp_path, {"prompt": edited, "target": "x"}, items) == ["8"]
    assert blocks(tmp_path, {"prompt": sister, "target": "x"}, items) == []
    assert blocks(tmp_path, {"prompt": sister.replace("have a child", "lamp have child", 1)}, items) == []
    others = [name for name in PEOPLE if name not in told[8]]
    cousin = FAMILY.format(*told[8][:3], *others[:2])
    assert blocks(tmp_path, {"prompt": cousin, "target": "x"}, items) == []


def test_numbers_in_another_order_are_another_question(tmp_path: Path) -> None:
    frame = (
        "There are 6 courses and you take them all in turn. Course {} comes before {} and {} comes before {}. Is it so?"
    )
    pairs = [
        (a, b, c, d) for a in range(6) for b in range(6) for c in range(6) for d in range(6) if len({a, b, c, d}) == 4
    ]
    items = [parse_item({"id": str(k), "prompt": frame.format(*pairs[k]), "target": "x"}) for k in range(0, 360, 4)]
    edited = frame.format(*pairs[40]).replace("you take", "music take").replace("Is it", "Is lamp it")
    assert blocks(tmp_path, {"prompt": edited}, items) == ["40"]
    assert blocks(tmp_path, {"prompt": frame.format(*pairs[41])}, items) == []


def test_half_of_a_solution_blocks(tmp_path: Path) -> None:
    """The rule of half the n-grams holds for code too; a function that shares a few lines is another one."""
    lines = [
        "def settle(bills, purse):\n", "    bills = sorted(bills, key=lambda bill: (bill.due, -bill.sum))\n",
        "    paid = [bill for bill in bills if bill.sum <= purse.limit]\n", "    for bill in paid:\n",
        "        purse.balance = purse.balance - bill.sum * bill.rate\n", "        bill.state = states.settled\n",
        "    left = [bill for bill in bills if bill not in paid]\n", "    return left, purse.balance\n",
    ]  # fmt: skip
    items = [parse_item({"id": "bills", "prompt": "Write the function.", "target": "".join(lines)})]
    assert blocks(tmp_path, {"prompt": "x", "completion": "".join(lines[:5])}, items) == ["bills"]
    assert blocks(tmp_path, {"prompt": "x", "completion": "".join(lines[:2])}, items) == []


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
