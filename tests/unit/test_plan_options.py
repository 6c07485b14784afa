"""Which evaluation commands leave items out."""

from __future__ import annotations

import pytest

from evo.ops.checks.plan import partial_option


@pytest.mark.parametrize(
    ("command", "found"),
    [
        ("lm_eval --model hf --limit 20", "--limit 20"),
        ("inspect eval task.py --limit=1-10", "--limit 1-10"),
        ("python evaluate.py --out {out} --limit -1", ""),
        ("python evaluate.py --limit 0", ""),
        ("python score.py", ""),
        ("python score.py --limit", ""),
        ("", ""),
        ("python score.py --limited 5", ""),
    ],
)
def test_an_option_that_leaves_items_out_is_seen(command: str, found: str) -> None:
    """A35: a subsetted evaluation (`--limit`)."""
    assert partial_option(command.split()) == found
