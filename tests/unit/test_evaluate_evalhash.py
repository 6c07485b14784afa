"""The eval_hash changes with each ingredient, and the change is told in words."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from evo.evaluate.engine import engine_of
from evo.evaluate.evalhash import EvalSpec, differences, eval_hash, text_hash
from evo.validation import plain

SPEC = EvalSpec(
    items={"dev": "d1", "heldout": "h1"},
    scorer="exact",
    engine="hf transformers 5.23.0 torch 2.13.0",
    scorer_options={"pattern": ""},
    system_prompt=text_hash("be brief"),
    chat_template=text_hash("{{ messages }}"),
    generation={"temperature": 0.0, "samples": 1, "stop": []},
    command="python score.py",
    files={"score.py": "f1"},
    metric={"direction": "max"},
    forbidden=["rm"],
)
CHANGES = [
    ("items", {"dev": "d1", "heldout": "h2"}, ["heldout items changed"]),
    ("items", {"dev": "d1", "heldout": "h1", "vault": "v"}, ["vault items added"]),
    ("scorer", "json_cmd", ["scorer: exact → json_cmd"]),
    ("scorer_options", {"pattern": "a"}, ["scorer option pattern: none → a"]),
    ("system_prompt", text_hash("be kind"), ["system prompt changed"]),
    ("system_prompt", text_hash(""), ["system prompt removed"]),
    ("chat_template", text_hash("{{ bos }}"), ["chat template changed"]),
    ("generation", {"temperature": 0.7, "samples": 4, "stop": ["\n"]}, None),
    ("engine", "hf transformers 5.24.0 torch 2.13.0", None),
    ("command", "python other.py", ["evaluation command: python score.py → python other.py"]),
    ("files", {"score.py": "f2"}, ["evaluation file score.py changed"]),
    ("files", {}, ["evaluation file score.py removed"]),
    ("metric", {"direction": "min"}, ["metric direction: max → min"]),
    ("forbidden", [], ["forbidden outputs: rm → none"]),
]


@pytest.mark.parametrize(("name", "value", "words"), CHANGES)
def test_each_ingredient_changes_the_hash_and_is_named(name, value, words):
    changed = replace(SPEC, **{name: value})
    assert eval_hash(changed) != eval_hash(SPEC)
    told = differences(plain(SPEC), plain(changed))
    assert told == (words or told)
    assert told


def test_every_ingredient_is_among_the_changes():
    assert {name for name, _, _ in CHANGES} == {field.name for field in fields(EvalSpec)}


def test_generation_settings_are_told_one_by_one():
    changed = replace(SPEC, generation={"temperature": 0.7, "samples": 4, "stop": ["###"]})
    assert differences(plain(SPEC), plain(changed)) == [
        "generation setting samples: 1 → 4",
        "generation setting stop: none → ###",
        "generation setting temperature: 0.0 → 0.7",
    ]


def test_the_same_ingredients_in_another_order_are_the_same_epoch():
    turned = replace(SPEC, items=dict(reversed(SPEC.items.items())))
    assert eval_hash(turned) == eval_hash(SPEC)
    assert differences(plain(SPEC), plain(turned)) == []
    assert len(eval_hash(SPEC)) == 16


def test_engine_carries_versions_without_build_suffixes():
    assert engine_of("command") == "command"
    assert engine_of("hf").startswith("hf transformers ")
    assert "+" not in engine_of("hf")
