from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from evo import assets
from evo.config import EvalConfig, EvoConfig, ModelConfig
from evo.errors import FileFormatError, NotFound, Refused, UsageError
from evo.workspace.layout import Layout
from evo.workspace.pin import pin_evaluation, pin_model, verify_model


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "config.json").write_text('{"model_type": "llama"}')
    (folder / "tokenizer.json").write_text("{}")
    (folder / "tokenizer_config.json").write_text('{"chat_template": "own: {{ messages }}"}')
    return folder


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path / "ws")
    layout.create()
    layout.config.write_text("name: x\n")
    (layout.root / "system_prompt.md").write_text("Be brief.\n\n")
    (layout.root / "score.py").write_text("print(1)\n")
    (layout.root / "lib").mkdir()
    (layout.root / "lib" / "words.txt").write_text("a\n")
    return layout


def with_files(*files: str, **more: object) -> EvoConfig:
    return EvoConfig(eval=EvalConfig(backend="command", files=list(files)), **more)  # type: ignore[arg-type]


def test_a_pin_names_weights_tokenizer_and_config_apart(model: Path) -> None:
    (model / "generation_config.json").write_text('{"eos_token_id": 1}')
    before = pin_model(str(model))
    assert (before.path, before.source, before.kind) == (model, str(model), "full")
    assert verify_model(before) == []
    (model / "README.md").write_text("no part of the model")
    assert pin_model(str(model)) == before
    for name, part in (
        ("model.safetensors", "weights"),
        ("tokenizer_config.json", "tokenizer"),
        ("config.json", "config"),
        ("generation_config.json", "generation"),
    ):
        kept = (model / name).read_bytes()
        (model / name).write_text("{}")
        assert verify_model(before) == [part]
        (model / name).write_bytes(kept)
    assert json.loads(json.dumps(before.facts))["weights_sha256"] == before.weights_sha256


def test_a_hub_cache_of_links_has_the_same_hashes(model: Path, tmp_path: Path) -> None:
    linked = tmp_path / "snapshot"
    linked.mkdir()
    for file in model.iterdir():
        (linked / file.name).symlink_to(file)
    one, other = pin_model(str(model)), pin_model(str(linked))
    assert (one.weights_sha256, one.tokenizer_sha256) == (other.weights_sha256, other.tokenizer_sha256)


def test_the_shipped_model_can_be_pinned() -> None:
    assert pin_model(str(assets.folder("workspace_template") / "addition" / "model")).kind == "full"


def test_what_is_no_model_is_refused_with_the_reason(model: Path, tmp_path: Path) -> None:
    (model / "model.safetensors").rename(model / "pytorch_model.bin")
    with pytest.raises(Refused, match=r"no safetensors weights.*pytorch_model\.bin"):
        pin_model(str(model))
    (model / "a.safetensors").write_bytes(b"x")
    (model / "model.safetensors.index.json").write_text('{"weight_map": {"w": "b.safetensors"}}')
    with pytest.raises(Refused, match=r"b\.safetensors, which is missing"):
        pin_model(str(model))
    (model / "config.json").write_text("{")
    with pytest.raises(FileFormatError, match=r"config\.json, line 1"):
        pin_model(str(model))
    for missing in (str(tmp_path / "nowhere"), "./nowhere", "nowhere"):
        with pytest.raises(NotFound, match="model not found") as caught:
            pin_model(missing)
        assert caught.value.exit_code == 3


def test_a_hub_id_without_a_network_is_not_found(tmp_path: Path) -> None:
    code = (
        "import sys; from evo.errors import NotFound; from evo.workspace.pin import pin_model\n"
        "try: pin_model(sys.argv[1])\n"
        "except NotFound as error: print(error.message, '|', error.hint)"
    )
    environ = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    for name in ("nobody/nothing-of-that-name", "nobody/a--b..c"):
        done = subprocess.run(
            [sys.executable, "-c", code, name], env=environ, capture_output=True, text=True, check=True
        )
        assert done.stdout.startswith(f"model not found: {name}")
        assert "local folder" in done.stdout


def test_copies_are_read_only_and_named_by_their_content(layout: Layout) -> None:
    pinned = pin_evaluation(layout, with_files("score.py", "lib"))
    assert set(pinned.file_hashes) == {"score.py", "lib/words.txt"}
    assert (pinned.system_prompt, pinned.chat_template) == ("Be brief.", None)
    assert (pinned.folder / "lib" / "words.txt").read_text() == "a\n"
    modes = {stat.S_IMODE(path.stat().st_mode) for path in pinned.folder.rglob("*") if path.is_file()}
    assert modes == {0o444}
    assert stat.S_IMODE(pinned.folder.stat().st_mode) == 0o555
    assert pin_evaluation(layout, with_files("lib", "score.py")) == pinned
    (layout.root / "score.py").write_text("print(2)\n")
    edited = pin_evaluation(layout, with_files("score.py", "lib"))
    assert edited.folder != pinned.folder
    assert (pinned.folder / "score.py").read_text() == "print(1)\n"
    assert sorted(layout.pinned.iterdir()) == sorted([pinned.folder, edited.folder])


def test_a_pinned_copy_that_was_changed_is_refused(layout: Layout) -> None:
    """§12: an experiment editing its own scorer."""
    folder = pin_evaluation(layout, with_files("score.py")).folder
    (folder / "score.py").chmod(0o644)
    (folder / "score.py").write_text("print(1.0)\n")
    with pytest.raises(Refused, match="not what was pinned") as caught:
        pin_evaluation(layout, with_files("score.py"))
    assert "remove it" in caught.value.hint
    folder.chmod(0o755)
    shutil.rmtree(folder)
    assert (pin_evaluation(layout, with_files("score.py")).folder / "score.py").read_text() == "print(1)\n"


def test_a_copy_cut_off_half_way_is_not_taken_for_one(layout: Layout) -> None:
    whole = pin_evaluation(layout, with_files("score.py"))
    folder = whole.folder
    folder.chmod(0o755)
    shutil.move(folder, layout.pinned / ".draft-killed")
    (layout.pinned / ".draft-killed" / "score.py").unlink()
    assert pin_evaluation(layout, with_files("score.py")) == whole


def test_the_scorer_is_pinned_where_it_is_used(layout: Layout) -> None:
    (layout.root / "scorer.py").write_text("def score(expected, actual):\n    return 1.0\n")
    assert pin_evaluation(layout, EvoConfig()).file_hashes == {}
    custom = EvoConfig(eval=EvalConfig(scorer="custom"))
    assert set(pin_evaluation(layout, custom).file_hashes) == {"scorer.py"}
    (layout.root / "scorer.py").write_text("x = 1\n\ndef score(:\n")
    with pytest.raises(FileFormatError, match=r"scorer\.py, line 3"):
        pin_evaluation(layout, custom)
    (layout.root / "scorer.py").unlink()
    with pytest.raises(NotFound, match=r"scorer\.py"):
        pin_evaluation(layout, custom)


def test_files_outside_the_workspace_are_not_read(layout: Layout) -> None:
    for name in ("../x", "/etc/passwd"):
        with pytest.raises(UsageError, match="outside the workspace"):
            pin_evaluation(layout, with_files(name))
        with pytest.raises(UsageError, match="outside the workspace"):
            pin_evaluation(layout, EvoConfig(system_prompt=name))


def test_the_chat_template_in_force(layout: Layout, model: Path) -> None:
    """C11: one prompt in data, training and evaluation; DESIGN §7: the template is pinned."""
    own = EvoConfig(model=ModelConfig(source=str(model)))
    assert pin_evaluation(layout, own).chat_template == "own: {{ messages }}"
    assert pin_evaluation(layout, EvoConfig(), model=model).chat_template == "own: {{ messages }}"
    (layout.root / "chat.jinja").write_text("file")
    assert pin_evaluation(layout, EvoConfig(chat_template="chat.jinja"), model=model).chat_template == "file"
    other = model.with_name("other")
    shutil.copytree(model, other)
    (other / "chat_template.jinja").write_text("page")
    assert pin_evaluation(layout, EvoConfig(chat_template=f"from:{other}"), model=model).chat_template == "page"
    named = [{"name": "tools", "template": "t"}, {"name": "default", "template": "d"}]
    (model / "tokenizer_config.json").write_text(json.dumps({"chat_template": named}))
    assert pin_evaluation(layout, own).chat_template == "d"
    (model / "tokenizer_config.json").write_text("{}")
    assert pin_evaluation(layout, own).chat_template is None
    with pytest.raises(NotFound, match="no chat template"):
        pin_evaluation(layout, EvoConfig(chat_template=f"from:{model}"))
    with pytest.raises(NotFound, match=r"missing\.jinja"):
        pin_evaluation(layout, EvoConfig(chat_template="missing.jinja"))
    with pytest.raises(NotFound, match=r"none\.md"):
        pin_evaluation(layout, EvoConfig(system_prompt="none.md"))
