"""Reading JSONL: a whole file, or an error with file, line and field."""

from __future__ import annotations

import pytest

from evo.data.reader import read_items, read_rows
from evo.errors import FileFormatError, NotFound

GOOD = b'{"prompt": "2+2=", "target": "4"}'


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "gold.jsonl: is empty"),
        (b"\n \n", "gold.jsonl: is empty"),
        (GOOD + b"\n\n{'prompt': 1}\n", "line 3: is not JSON: Expecting property name .* at column 2"),
        (GOOD + b'\n{"prompt": "\xe9"}\n', "line 2: is not UTF-8"),
        (b"\xef\xbb\xbf" + GOOD, "line 1: opens with a byte order mark"),
        (GOOD.decode().encode("utf-16"), "line 1: opens with a byte order mark"),
        (GOOD + b"\n[1]\n", "line 2: must be a JSON object, not list"),
        (b'{"prompt": "a", "target": NaN}\n', "line 1: is not JSON: NaN is no JSON number"),
        (b"[" * 100_000, "line 1: is not JSON"),
        (b'{"prompt": "\\ud83d", "target": "a"}\n', "line 1: holds half of a surrogate pair"),
        (GOOD + b'\n{"prompt": "3+3="}\n', "line 2, field target: is missing"),
        (b'{"messages": [{"role": "bot", "content": "a"}]}\n', r"line 1, field messages\[0\].role"),
        (b'{"id": "x", "prompt": "a", "target": "b"}\n\n{"id": "x", "prompt": "c", "target": "d"}\n',
         "line 3, field id: id 'x' stands on line 1 already"),
        (GOOD + b"\n" + GOOD, "line 2: is the same item as line 1"),
    ],
)  # fmt: skip
def test_a_fault_is_named_by_file_line_and_field(tmp_path, content, says):
    """E7: line-numbered errors for bad JSON, other encodings, missing and double items."""
    path = tmp_path / "gold.jsonl"
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=says) as caught:
        read_items(path, needs_target=True)
    assert str(path) in str(caught.value)


def test_items_keep_their_order_and_a_line_separator_inside_a_text(tmp_path):
    path = tmp_path / "gold.jsonl"
    path.write_text(
        '\n{"id": "b", "prompt": "one\u2028two", "target": "4"}\r\n\n{"id": "a", "prompt": "x", "target": 5}'
    )
    items = read_items(path, needs_target=True)
    assert [(item.id, item.question, item.target) for item in items] == [("b", "one\u2028two", "4"), ("a", "x", "5")]
    assert [row.line for row in read_rows(path)] == [2, 4]


def test_targets_may_be_absent_where_none_are_needed(tmp_path):
    path = tmp_path / "prompts.jsonl"
    path.write_text('{"prompt": "2+2="}\n')
    assert read_items(path, needs_target=False)[0].target is None


def test_a_missing_file_is_not_found(tmp_path):
    with pytest.raises(NotFound, match="does not exist"):
        read_rows(tmp_path / "gold.jsonl")
    with pytest.raises(NotFound, match="is a folder"):
        read_rows(tmp_path)
