"""Words of a command line as lists and empty texts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pytest

from evo.bounds import Ge, Gt
from evo.config import get_key
from evo.errors import UsageError
from evo.workspace import yamlfile
from evo.workspace.values import parse_value

LISTS = {
    ("eval.files", "[score.py]"): ["score.py"],
    ("eval.files", "[a.py, 'b c.py', \"d,e.py\"]"): ["a.py", "b c.py", "d,e.py"],
    ("eval.files", "a.py,b.py"): ["a.py", "b.py"],
    ("eval.files", '["a.py"]'): ["a.py"],
    ("eval.choices", "[1, don't know, ]"): ["1", "don't know"],
    ("env.pass", "[]"): [],
    ("env.pass", ""): [],
    ("metric.range", "[0, 1e2]"): [0.0, 100.0],
    ("metric.range", "0,100"): [0.0, 100.0],
    ("eval.stop", "one, two"): ["one, two"],
    ("eval.stop", '["\\n", "]"]'): ["\n", "]"],
    ("eval.forbidden", r"x{1,2}"): [r"x{1,2}"],
}


@pytest.mark.parametrize(("key", "text"), LISTS)
def test_lists_as_yaml_as_json_and_with_commas(tmp_path: Path, key: str, text: str) -> None:
    """DESIGN §5: what the shipped evo.yaml spells may be said on the command line; a stop text keeps its commas."""
    path = tmp_path / "evo.yaml"
    path.write_text("name: x\n")
    assert yamlfile.set_key(path, key, text) == LISTS[key, text]
    assert get_key(yamlfile.check_config(yamlfile.load(path), path=path), key) == LISTS[key, text]


@pytest.mark.parametrize("text", ["[a", "[a]]]b", "a,,b", '["a]', "[[a]]"])
def test_a_list_that_does_not_close_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"eval\.files"):
        parse_value("eval.files", text)


@pytest.mark.parametrize("text", ["", '""', "''"])
def test_an_empty_text_is_empty(tmp_path: Path, text: str) -> None:
    path = tmp_path / "evo.yaml"
    path.write_text("system-prompt: be short   # why\n")
    assert yamlfile.set_key(path, "system-prompt", text) == ""
    assert path.read_text() == 'system-prompt: ""   # why\n'


def test_bounds_that_look_alike_are_two():
    """`typing` of Python 3.11.2 hands out one `Annotated` for equal bounds: a temperature of 0 was refused with it."""
    assert Ge(0) != Gt(0)
    assert Annotated[float, Ge(0)] != Annotated[float, Gt(0)]
