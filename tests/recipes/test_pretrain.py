"""The page that goes on pretraining: every token of running text is learned, and full weights come out."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("trl")

from paging import SUMS, TEXTS, metrics_of  # noqa: E402
from peft import PeftModel  # noqa: E402
from safetensors.torch import load_file  # noqa: E402
from transformers import AutoModelForCausalLM  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


def test_every_token_of_every_text_is_learned_in_whole_blocks(start):
    _, trainer = start("pretrain", "text", max_steps=1)
    rows = list(trainer.train_dataset)
    assert [len(row["input_ids"]) for row in rows[:-1]] == [128] * (len(rows) - 1)
    assert all(row["labels"] == row["input_ids"] for row in rows)
    whole = trainer.processing_class.decode([token for row in rows for token in row["input_ids"]])
    assert whole == "".join(row["text"] + "<|end|>" for row in TEXTS)


def test_a_lora_is_merged_and_nothing_is_trained_on_top_of_one(start, base):
    """C17: pretraining ends in full weights of the base's precision; never a LoRA on a LoRA."""
    parent, _ = start("sft", "parent", SUMS, method="lora", learning_rate=5e-2)
    facts = {"seed_artifact": str(parent.output), "init_from": "parent"}
    child, trainer = start("pretrain", "child", facts=facts, method="lora", lora_rank=2, learning_rate=5e-2)
    began = {name.replace("base_model.model.", "").replace("base_layer.", ""): v for name, v in trainer.began.items()}
    merged = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), parent.output).merge_and_unload()
    assert all(torch.allclose(began[name], value, atol=1e-6) for name, value in merged.named_parameters())
    assert sum("lora_A" in name for name in began) == sum("lora_A" in name for name in load_file(
        parent.output / "adapter_model.safetensors")), "one adapter, on the merged weights"  # fmt: skip
    ends = load_file(child.output / "model.safetensors")
    assert not (child.output / "adapter_config.json").exists()
    assert set(ends) == set(load_file(base / "model.safetensors"))
    adapted = trainer.accelerator.unwrap_model(trainer.model).merge_and_unload()
    for name, value in adapted.named_parameters():
        assert torch.allclose(ends[name], value, atol=1e-5), name
    assert any(not torch.allclose(ends[name], value, atol=1e-4) for name, value in merged.named_parameters())


def test_a_lora_on_the_base_itself_comes_out_merged_too(start):
    folder, _ = start("pretrain", "merged", method="lora")
    assert not (folder.output / "adapter_config.json").exists()
    AutoModelForCausalLM.from_pretrained(folder.output, use_safetensors=True)
    assert metrics_of(folder)[-1]["loss"] < metrics_of(folder)[0]["loss"]


def test_a_row_without_text_is_named(start):
    with pytest.raises(SystemExit, match=r"row 2: has no 'text'"):
        start("pretrain", "refused", [TEXTS[0], {"prompt": "1+1=", "target": "2"}])
