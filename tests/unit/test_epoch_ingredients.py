"""Every setting that an evaluation's answers depend on is in its eval_hash, and named when it changes."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from workspaces import make_command_workspace

from evo.config import config_keys
from evo.evaluate.evalhash import differences
from evo.lightdata import replace
from evo.ops.judging.judge import present_judge
from evo.session import Session, open_session
from evo.validation import to_name

CHANGES: dict[str, tuple[object, str]] = {
    "eval.scorer": ("regex", "scorer: exact → regex"),
    "eval.pattern": ("a+", "scorer option pattern: none → a+"),
    "eval.choices": (["a"], "scorer option choices: none → a"),
    "eval.mode": ("scalar", "scorer option mode: none → scalar"),
    "eval.read": ("inspect", "scorer option read: none → inspect"),
    "eval.command": ("python score.py --again", "evaluation command: python score.py → python score.py --again"),
    "eval.files": ([], "evaluation file score.py removed"),
    "eval.max-new-tokens": (8, "generation setting max_new_tokens: 256 → 8"),
    "eval.temperature": (0.5, "generation setting temperature: 0.0 → 0.5"),
    "eval.top-p": (0.5, "generation setting top_p: 1.0 → 0.5"),
    "eval.samples": (2, "generation setting samples: 1 → 2"),
    "eval.seed": (7, "generation setting seed: 42 → 7"),
    "eval.stop": (["."], "generation setting stop: none → ."),
    "eval.forbidden": (["x"], "forbidden outputs: none → x"),
    "metric.name": ("f1", "metric name: score → f1"),
    "metric.direction": ("min", "metric direction: max → min"),
    "metric.range": ([0.0, 2.0], "metric range: 0.0, 1.0 → 0.0, 2.0"),
    "model.dtype": ("bfloat16", "generation setting dtype: float32 → bfloat16"),
    "system-prompt": ("other.md", "system prompt added"),
    "chat-template": ("other.jinja", "chat template added"),
}
ELSEWHERE = {
    "eval.backend": "the engine: test_evaluate_evalhash",
    "eval.repeats": "the items of a scalar benchmark: test_scalar",
    "eval.batch-size": "speed",
    "eval.timeout": "how long, not what",
    "model.source": "the base model is pinned at init",
    "model.device": "where, not what",
}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = make_command_workspace(tmp_path_factory.mktemp("ingredients") / "ws", n=60)
    (root / "other.md").write_text("be kind")
    (root / "other.jinja").write_text("{{ messages }}")
    return root


def with_setting(session: Session, key: str, value: object) -> Session:
    """`session` as if evo.yaml said so."""
    first, _, second = map(to_name, key.partition("."))
    changed = replace(getattr(session.config, first), **{second: value}) if second else value
    return replace(session, config=replace(session.config, **{first: changed}))


@pytest.mark.parametrize("key", CHANGES)
def test_a_setting_that_changes_answers_changes_the_hash_and_is_named(workspace: Path, key: str) -> None:
    """Issue 4, item 4: items, scorer, templates, generation config, engine and version."""
    value, said = CHANGES[key]
    with contextlib.chdir(workspace), open_session() as session:
        before, after = present_judge(session), present_judge(with_setting(session, key, value))
    assert after.eval_hash != before.eval_hash
    assert said in differences(before.spec, after.spec)


def test_no_setting_of_the_evaluation_is_left_out() -> None:
    """A new key of `eval`, `metric` or `model` has its place in one of the two tables."""
    shared = [key for key in config_keys() if key.partition(".")[0] in ("eval", "metric", "model")]
    assert {*shared, "system-prompt", "chat-template"} == CHANGES.keys() | ELSEWHERE.keys()


@pytest.mark.parametrize("split", ["dev", "heldout"])
def test_items_and_engine_are_in_it_too(workspace: Path, split: str) -> None:
    with contextlib.chdir(workspace), open_session() as session:
        spec = present_judge(session).spec
    assert split in spec["items"]
    assert spec["engine"] == "command"
    assert spec["files"].keys() == {"score.py"}
