from __future__ import annotations

from pathlib import Path

import pytest

from evo import assets
from evo.config import EvoConfig, config_keys, get_key
from evo.errors import FileFormatError, NotFound, UsageError
from evo.workspace.template import filled
from evo.workspace.yamlfile import check_config, load, set_key, set_keys, to_yaml, unset_key, with_keys

TEXT = """\
# head
name: demo      # its name
max_attempts: 3
search: # how
  # the pace
  tau: 5e-5  # small
  mu: -0.002
eval:
  stop:
  - "a"  # one
  - "b"
  # tail of eval

gate: {alpha: .05, looks: 20}
run:
# end
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "evo.yaml"
    file.write_text(TEXT)
    return file


def config_of(path: Path) -> EvoConfig:
    return check_config(load(path), path=path)


def test_only_the_text_of_the_value_changes(path: Path) -> None:
    """A14, §12: YAML comments lost."""
    assert set_key(path, "max-attempts", "1") == 1
    set_key(path, "search.mu", "-0.01")
    assert path.read_text() == TEXT.replace("max_attempts: 3", "max_attempts: 1").replace("mu: -0.002", "mu: -0.01")


def test_5e_5_is_a_number_before_and_after(path: Path) -> None:
    """§12: `5e-5` read as a string."""
    assert config_of(path).search.tau == 5e-5
    set_key(path, "gate.looks", "7")
    assert "tau: 5e-5  # small" in path.read_text()
    set_key(path, "search.tau", "2e-5")
    assert load(path).data["search"]["tau"] == 2e-5
    assert "tau: 2.0e-05  # small" in path.read_text()  # a number for readers of YAML 1.1, too


def test_block_lists_flow_maps_and_empty_sections_can_be_set(path: Path) -> None:
    set_key(path, "eval.stop", '["\\n", "</s>"]')
    set_key(path, "gate.alpha", "0.1")
    set_key(path, "gate.sigma-run", "0.01")
    set_key(path, "run.slots", "2")
    set_key(path, "eval.max-new-tokens", "16")
    set_key(path, "hub.repo", "me/model")
    config = config_of(path)
    assert config.eval.stop == ["\n", "</s>"]
    assert (config.gate.alpha, config.gate.sigma_run, config.gate.looks) == (0.1, 0.01, 20)
    assert (config.run.slots, config.eval.max_new_tokens) == (2, 16)
    assert config.hub.repo == "me/model"
    for comment in ("# head", "# its name", "# the pace", "# small", "# tail of eval", "# end"):
        assert comment in path.read_text()


def test_unset_removes_the_line_and_keeps_the_comments_around(path: Path) -> None:
    assert unset_key(path, "search.tau") is True
    assert path.read_text() == TEXT.replace("  tau: 5e-5  # small\n", "")
    assert unset_key(path, "search.tau") is False
    assert unset_key(path, "search.mu") is True
    assert unset_key(path, "eval.stop") is True
    assert unset_key(path, "gate.alpha") is True
    assert "# tail of eval" in path.read_text()
    assert "gate: {looks: 20}" in path.read_text()
    assert config_of(path).search.mu == EvoConfig().search.mu


def _example(value: object) -> str:
    if isinstance(value, bool):
        return "false" if value else "true"
    if isinstance(value, list):
        return "[0, 2]" if value else '["a: b", "#c", "\\n"]'
    return {"float": "0.25", "int": "7", "NoneType": "0.5"}.get(type(value).__name__, "a b: #c")


CHOSEN = {
    "model.dtype": "float16", "model.device": "cpu", "metric.direction": "min", "eval.backend": "command",
    "gate.mode": "strict", "gate.sigma-run": "0.01", "gate.claim": "recipe", "data-api": "local",
    "eval.scorer": "math", "eval.timeout": "1h30m", "search.policy": "thompson", "run.executor": "inline",
    "run.timeout": "90s", "run.smoke": "never", "track": "none", "eval.read": "inspect", "eval.mode": "scalar",
    "isolation.level": "landlock", "isolation.require": "bwrap", "budget.wall-clock": "8h", "budget.attempts": "9",
    "budget.llm-tokens": "1000", "ideas.network": "off", "ideas.timeout": "90s",
    "ideas.max-tokens": "4096", "ideas.source": "anthropic",
    "gate.checks": '["ls {model}", "python \\"a b.py\\""]', "gate.checks-timeout": "90s",
    "guards": '[{"name": "talk", "items": "a b.jsonl", "margin": 0.5}, {"name": "x", "command": "ls {model}: #c"}]',
}  # fmt: skip


@pytest.mark.parametrize("key", list(config_keys()))
def test_every_key_of_the_schema_can_be_set_and_unset(tmp_path: Path, key: str) -> None:
    source = assets.folder("workspace_template") / "default" / "evo.yaml"
    path = tmp_path / "evo.yaml"
    before = filled(source.read_text(), {"name": "t", "model": ""}, is_yaml=True)
    path.write_text(before)
    text = CHOSEN.get(key, _example(get_key(EvoConfig(), key)))
    value = set_key(path, key, text)
    assert get_key(config_of(path), key) == value != get_key(EvoConfig(), key)
    assert [line for line in before.splitlines() if line.startswith("#")] == [
        line for line in path.read_text().splitlines() if line.startswith("#")
    ]
    assert unset_key(path, key) is True
    assert get_key(config_of(path), key) == get_key(EvoConfig(), key)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("max-attempt", "1", "did you mean 'max-attempts'"),
        ("max-attempts", "0", "at least 1"),
        ("max-attempts", "2.5", "whole number"),
        ("gate.alpha", "nan", "a number"),
        ("gate.alpha", "1", "less than 1"),
        ("gate.sigma-run", "auto?", "auto or a number"),
        ("metric.range", "[1]", "at least 2"),
        ("metric.range", "[1, 0]", "no range"),
        ("metric.range", "[0, 1, 2]", "no range"),
        ("eval.scorer", "exct", "did you mean 'exact'"),
        ("search.policy", "tree-ubc", "did you mean 'tree-ucb'"),
        ("run.executor", "locl", "did you mean 'local'"),
        ("run.timeout", "soon", "no duration"),
        ("eval.forbidden", "(", "no regular expression"),
        ("eval.stop", "[1]", "list of texts"),
        ("search", "x", "did you mean"),
        ("hub.private", "perhaps", "true or false"),
    ],
)
def test_a_wrong_key_or_value_changes_nothing(path: Path, key: str, value: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        set_key(path, key, value)
    assert words in f"{caught.value.message} {caught.value.hint}"
    assert path.read_text() == TEXT
    assert list(path.parent.iterdir()) == [path]


def test_several_keys_are_set_together_or_not_at_all(path: Path) -> None:
    with pytest.raises(UsageError):
        set_keys(path, {"name": "other", "gate.looks": "-1"})
    assert path.read_text() == TEXT


def test_values_by_their_type(path: Path) -> None:
    assert set_key(path, "gate.sigma-run", "auto") == "auto"
    assert set_key(path, "metric.range", "none") == "none"
    assert set_key(path, "metric.range", "0,100") == [0.0, 100.0]
    assert set_key(path, "loop.target", "none") is None
    assert set_key(path, "loop.target", "12") == 12.0
    with pytest.raises(UsageError, match=r"loop\.target: 101 lies outside"):
        set_key(path, "loop.target", "101")
    assert set_keys(path, {"metric.range": "none", "loop.target": "-1.5"}) is not None
    with pytest.raises(UsageError, match=r"loop\.target"):
        set_key(path, "metric.range", "0,1")
    assert set_key(path, "loop.target", "none") is None
    assert set_key(path, "eval.forbidden", "rm -rf a{1,3}") == ["rm -rf a{1,3}"]
    assert set_key(path, "name", "yes") == "yes"
    assert config_of(path).name == "yes"


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("name: a\ngate:\n  looks: 2\n  looks: 3\n", 4, "duplicate key"),
        ("name: a\ngate: [1\n", 3, "expected"),
        ("name: a\n\ngate:\n  alhpa: 1\n", 4, "unknown key"),
        ("name: a\nmax-attempts: 101\n", 2, "less than or equal to 100"),
        ("name: a\nsearch:\n  mu: .nan\n", 3, "finite"),
        ("name: a\nsearch:\n  tau: '5e-5'\n", 3, "number"),
        ("name: a\n\tmodel: x\n", 2, ""),
    ],
)
def test_a_bad_file_is_named_with_its_line_and_left_alone(tmp_path: Path, text: str, line: int, words: str) -> None:
    path = tmp_path / "evo.yaml"
    path.write_text(text)
    for act in (lambda: config_of(path), lambda: set_key(path, "run.slots", "2")):
        with pytest.raises(FileFormatError) as caught:
            act()
        assert caught.value.line == line
        assert words in str(caught.value)
        assert str(path) in str(caught.value)
    assert path.read_text() == text


def test_a_missing_file_and_a_list_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        load(tmp_path / "evo.yaml")
    with pytest.raises(FileFormatError):
        with_keys("- a\n- b\n", {"name": "x"}, path="evo.yaml")


@pytest.mark.parametrize(
    "value", ["", "a b", "null", "1", "5e-5", " x", "a: b", "#x", "[", "é\n", "none", "-", "a #b", "~"]
)
def test_text_stays_text(path: Path, value: str) -> None:
    path.write_text(f"name: {to_yaml(value)}\n")
    assert load(path).data == {"name": value}
