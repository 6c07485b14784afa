"""Weights leave evo whole, bound to what was scored by their hash, and never over something that was there."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from workspaces import evo, make_command_workspace, new, skilled

pytest.importorskip("peft")

import torch
from publishing import experiment_of, model_workspace, save_base, save_full, save_lora
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from evo.evaluate.weights import weights_hash

pytestmark = pytest.mark.filterwarnings("ignore:.*checkpointing:FutureWarning")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace on a bfloat16 base: exp_0001 is a LoRA on it, exp_0002 full weights in float32."""
    folder = tmp_path_factory.mktemp("export")
    workspace = model_workspace(folder / "w", save_base(folder / "base"))
    experiment_of(workspace, save_lora(folder / "lora"), skill=0.5)
    experiment_of(workspace, save_full(folder / "full", dtype=torch.float32), skill=0.6)
    return folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_merge_folds_an_adapter_into_its_base_and_stays_in_16_bits(place, tmp_path):
    """C17: a merge at export is 16-bit as the base is, each weight W + s·B·A, rounded once."""
    view = evo("export", "1", "--merge", "--to", tmp_path / "out", cwd=place / "w").data
    assert (view["kind"], view["dtype"]) == ("merged", "BF16")
    merged = load_file(tmp_path / "out" / "model.safetensors")
    base, lora = (
        load_file(place / "base" / "model.safetensors"),
        load_file(place / "lora" / "adapter_model.safetensors"),
    )
    assert {tensor.dtype for tensor in merged.values()} == {torch.bfloat16}
    changed = 0
    for name, tensor in base.items():
        stem = f"base_model.model.{name.removesuffix('.weight')}"
        wanted = tensor
        if f"{stem}.lora_A.weight" in lora:
            changed += 1
            delta = lora[f"{stem}.lora_B.weight"].float() @ lora[f"{stem}.lora_A.weight"].float() * (8 / 4)
            wanted = (tensor.float() + delta).to(torch.bfloat16)
        assert torch.equal(merged[name], wanted), name
    assert changed == 4
    assert view["exported_hash"] == weights_hash(tmp_path / "out") != view["weights_hash"]
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert loaded.dtype == torch.bfloat16
    assert AutoTokenizer.from_pretrained(tmp_path / "out").chat_template


def test_an_adapter_is_exported_as_it_was_scored_and_names_its_base(place, tmp_path):
    view = evo("export", "exp_0001", "--to", tmp_path / "out", cwd=place / "w").data
    assert (view["kind"], view["exported_hash"]) == ("adapter", view["weights_hash"])
    assert weights_hash(tmp_path / "out") == weights_hash(place / "lora")
    config = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(place / "base")
    assert names(tmp_path / "out") == [
        "adapter_config.json", "adapter_model.safetensors", "chat_template.jinja", "evo.json", "tokenizer.json",
        "tokenizer_config.json",
    ]  # fmt: skip
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "out").iterdir()} == {0o644}


def test_full_weights_keep_their_bits_and_the_config_tells_their_precision(place, tmp_path):
    """`--merge` has nothing to fold here, and a loader that goes by the config gets what was scored."""
    view = evo("export", "exp_0002", "--to", tmp_path / "out", "--merge", cwd=place / "w").data
    assert (view["kind"], view["dtype"], view["exported_hash"]) == ("full", "F32", view["weights_hash"])
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "out").dtype == torch.float32
    record = json.loads((tmp_path / "out" / "evo.json").read_text())
    assert (record["experiment"], record["exported_sha256"]) == ("exp_0002", weights_hash(tmp_path / "out"))
    assert set(record["files"]) == set(names(tmp_path / "out")) - {"evo.json"}


def test_the_template_in_force_goes_along_and_not_a_runs_own(place, tmp_path):
    """A30: the same chat template in training and serving."""
    folder = place / "templated"
    folder.mkdir()
    (folder / "mine.jinja").write_text("{% for m in messages %}<{{ m['content'] }}>{% endfor %}")
    workspace = model_workspace(folder / "w", place / "base", "chat-template=mine.jinja")
    (workspace / "mine.jinja").write_text((folder / "mine.jinja").read_text())
    lora = save_lora(folder / "lora")
    (lora / "chat_template.jinja").write_text("a run's own")
    experiment_of(workspace, lora, skill=0.5)
    assert evo("export", "1", "--to", tmp_path / "out", cwd=workspace).code == 0
    assert (tmp_path / "out" / "chat_template.jinja").read_text() == (folder / "mine.jinja").read_text()


def test_the_base_itself_can_be_exported(place, tmp_path):
    view = evo("export", "exp_0000", "--to", tmp_path / "out", cwd=place / "w").data
    assert view["kind"] == "full"
    assert weights_hash(tmp_path / "out") == weights_hash(place / "base")


def test_nothing_is_written_over_and_nothing_half_made_stays(place, tmp_path):
    there = tmp_path / "there"
    there.mkdir()
    (there / "mine.txt").write_text("mine")
    (tmp_path / "file").write_text("")
    for target, code in ((there, 4), (tmp_path / "file", 2), (place / "w" / ".evo" / "x", 4)):
        assert evo("export", "1", "--to", target, cwd=place / "w").code == code
    assert names(there) == ["mine.txt"]
    empty = tmp_path / "empty"
    empty.mkdir()
    assert evo("export", "1", "--to", empty, cwd=place / "w").code == 0
    assert names(tmp_path) == ["empty", "file", "there"]


def test_weights_that_changed_since_they_were_scored_are_refused(place, tmp_path):
    """§5: bound by hash."""
    workspace = model_workspace(tmp_path / "w", place / "base")
    experiment_of(workspace, place / "lora", skill=0.5)
    weights = workspace / ".evo/attempts/exp_0001/1/output/adapter_model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    refused = evo("export", "1", "--to", tmp_path / "out", cwd=workspace)
    assert (refused.code, "not those that were scored" in refused.error["message"]) == (4, True)
    assert not (tmp_path / "out").exists()


def test_what_was_never_scored_is_refused(place, tmp_path):
    made = new(place / "w", "argv=true", "not run")
    assert evo("export", made, "--to", tmp_path / "out", cwd=place / "w").code == 4
    assert evo("export", "99", "--to", tmp_path / "out", cwd=place / "w").code == 3
    assert not (tmp_path / "out").exists()


def test_without_a_model_the_files_of_the_run_are_exported(tmp_path):
    workspace = make_command_workspace(tmp_path / "w")
    made = new(workspace, skilled("0.5"), "better")
    assert evo("run", made, cwd=workspace).code == 0
    view = evo("export", made, "--to", tmp_path / "out", cwd=workspace).data
    assert (view["kind"], view["base"]) == ("files", None)
    assert names(tmp_path / "out") == ["evo.json", "skill.txt"]


def test_a_link_that_a_run_left_does_not_leave_the_machine(tmp_path):
    """§12: a path outside the workspace is not read through an id. One that leads out of the output has no score."""
    workspace = make_command_workspace(tmp_path / "w")
    left = "echo .5 > $EVO_CHECKPOINT_DIR/skill.txt && ln -s skill.txt $EVO_CHECKPOINT_DIR/notes.txt"
    made = new(workspace, f"argv=sh -c '{left}'", "a link")
    assert evo("run", made, cwd=workspace).code == 0
    refused = evo("export", made, "--to", tmp_path / "out", cwd=workspace)
    assert refused.code == 4
    assert "notes.txt is a link" in refused.error["message"]
    assert not os.path.lexists(tmp_path / "out")
