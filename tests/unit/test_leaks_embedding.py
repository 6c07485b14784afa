"""What means the same, by a real local model: for the report, and never a reason to block."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evo.data.leaks.passages import Gold
from evo.domain.item import parse_item
from evo.errors import NotFound

MODEL = Path(__file__).resolve().parents[2] / "workspace_template" / "addition" / "model"


@pytest.mark.slow
def test_what_lies_near_an_item_warns(tmp_path: Path) -> None:
    """The embedding pass: the same text has score 1, line and item are named, and nothing blocks."""
    embedding = pytest.importorskip("evo.data.leaks.embedding")
    rows = tmp_path / "train.jsonl"
    rows.write_text("".join(json.dumps({"prompt": text}) + "\n" for text in ("9", "12+34=", "+++")))
    items = [parse_item({"id": "sum", "prompt": "12+34=", "target": "46"})]
    found = embedding.nearest(rows, [Gold("dev", items)], MODEL)
    assert {(hit.method, hit.severity, hit.item) for hit in found} == {("embedding", "warn", "sum")}
    assert {hit.line: hit.score for hit in found}[2] == pytest.approx(1, abs=1e-3)
    assert len(found) < 3
    with pytest.raises(NotFound, match="holds no model"):
        embedding.nearest(rows, [Gold("dev", items)], tmp_path)
