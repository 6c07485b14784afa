"""The model that stays warm between folders of weights answers as a fresh process would."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from evaluating import job_in
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from tiny_llama import save_model
from transformers import AutoModelForCausalLM

from evo.domain.item import parse_item
from evo.domain.job import EvalJob
from evo.errors import RunFailed
from evo.evaluate.backends.hf import HfBackend

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # in peft

ROWS = [{"id": str(n), "prompt": text, "target": "x"} for n, text in enumerate(["1+1=", "é?", "what is 7*8?", "x"])]
ITEMS = [parse_item(row) for row in ROWS]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("models") / "base", seed=1)


@pytest.fixture
def job(tmp_path: Path, base: Path) -> EvalJob:
    settings = {"max_new_tokens": 12, "batch_size": 4}
    return job_in(
        tmp_path, rows=ROWS, backend="hf", model=str(base), base_model=str(base), generation=settings, device="cpu"
    )


@pytest.fixture
def folders(tmp_path: Path, base: Path) -> dict[str, Path]:
    """Full weights, adapters of several kinds, and the base itself."""

    def full(name: str, low: float, high: float) -> Path:
        folder = Path(shutil.copytree(base, tmp_path / name))
        tensors = load_file(folder / "model.safetensors")
        tensors["model.norm.weight"] *= torch.linspace(low, high, 32)
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        return folder

    def adapter(name: str, seed: int, **options: object) -> Path:
        torch.manual_seed(seed)
        config = LoraConfig(r=4, target_modules=["q_proj", "up_proj"], init_lora_weights=False, **options)
        model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
        for parameter_name, parameter in model.named_parameters():
            if "modules_to_save" in parameter_name:
                parameter.data = parameter.data.flip(0)
        model.save_pretrained(tmp_path / name)
        return tmp_path / name

    return {
        "base": base,
        "full": full("full", -2.0, 2.0),
        "other": full("other", 2.0, -1.0),
        "adapter": adapter("adapter", 3),
        "second": adapter("second", 4),
        "saved": adapter("saved", 5, modules_to_save=["lm_head"]),
    }


def answers(backend: HfBackend, folder: Path) -> dict[str, str]:
    return {result.item: result.output or "" for result in backend.results(ITEMS, folder)}


def test_in_any_order_the_answers_are_those_of_a_fresh_process(job: EvalJob, folders: dict[str, Path]) -> None:
    """A11 on hf: full weights swapped, adapters laid on and taken off, none of it leaves a trace."""
    alone = {name: answers(HfBackend(job), folder) for name, folder in folders.items()}
    assert len({tuple(sorted(found.items())) for found in alone.values()}) == len(folders), "all say the same"
    warm = HfBackend(job)
    first = ["adapter", "base", "full", "second", "full", "adapter", "other", "saved"]
    order = [*first, "base", "second", "saved", "full", "adapter", "base", "other", "other"]
    for place, name in enumerate(order):
        assert answers(warm, folders[name]) == alone[name], f"{name}, {place} after {order[:place]}"


def test_weights_that_were_written_anew_in_the_same_place_are_read_anew(
    job: EvalJob, folders: dict[str, Path], tmp_path: Path
) -> None:
    """`best/` is one folder through a whole run."""
    best = Path(shutil.copytree(folders["full"], tmp_path / "best"))
    warm = HfBackend(job)
    first = answers(warm, best)
    shutil.rmtree(best)
    shutil.copytree(folders["other"], best)
    assert answers(warm, best) == answers(HfBackend(job), folders["other"]) != first


def test_a_folder_that_does_not_fit_spoils_nothing_for_the_next(
    job: EvalJob, folders: dict[str, Path], tmp_path: Path
) -> None:
    warm = HfBackend(job)
    before = answers(warm, folders["adapter"])
    broken = Path(shutil.copytree(folders["second"], tmp_path / "broken"))
    tensors = load_file(broken / "adapter_model.safetensors")
    save_file({name: value[:1] for name, value in tensors.items()}, broken / "adapter_model.safetensors")
    lacking = Path(shutil.copytree(folders["full"], tmp_path / "lacking"))
    tensors = load_file(lacking / "model.safetensors")
    tensors.pop("model.layers.0.mlp.up_proj.weight")
    save_file(tensors, lacking / "model.safetensors", metadata={"format": "pt"})
    for bad in (broken, lacking):
        with pytest.raises(RunFailed):
            answers(warm, bad)
        assert answers(warm, folders["adapter"]) == before


def test_a_second_folder_of_full_weights_is_no_second_load(
    job: EvalJob, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is warm about it: transformers builds the model once."""
    loads: list[str] = []
    real: Callable[..., object] = AutoModelForCausalLM.from_pretrained

    def counted(*args: object, **options: object) -> object:
        loads.append(str(args[0]))
        return real(*args, **options)

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", counted)
    warm = HfBackend(job)
    for name in ("full", "other", "adapter", "second", "base", "full"):
        answers(warm, folders[name])
    assert len(loads) == 1


def test_tied_embeddings_are_swapped_as_one(tmp_path: Path, base: Path, job: EvalJob) -> None:
    tied = Path(shutil.copytree(base, tmp_path / "tied"))
    model = AutoModelForCausalLM.from_pretrained(base)
    model.config.tie_word_embeddings = True
    model.tie_weights()
    model.save_pretrained(tied)
    assert "lm_head.weight" not in load_file(tied / "model.safetensors")
    child = Path(shutil.copytree(tied, tmp_path / "child"))
    tensors = load_file(child / "model.safetensors")
    tensors["model.embed_tokens.weight"] = tensors["model.embed_tokens.weight"].flip(0).contiguous()
    save_file(tensors, child / "model.safetensors", metadata={"format": "pt"})
    own = replace(job, model=str(tied), base_model=str(tied))
    warm = HfBackend(own)
    assert answers(warm, tied) == answers(HfBackend(own), tied)
    assert answers(warm, child) == answers(HfBackend(own), child) != answers(warm, tied)
