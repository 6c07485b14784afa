"""vLLM for real: the demo's model behind a warm server answers as the `hf` backend does, whatever weights it is given.

Needs an interpreter with vLLM: `make vllm-env`, or EVO_VLLM_PYTHON. Without one these tests are skipped, by name.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from evaluating import job_in
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from servers import end, members, until
from transformers import AutoModelForCausalLM
from workspaces import evo

from evo.domain.item import parse_item
from evo.domain.job import EvalJob, ServerFacts
from evo.domain.service import ServiceFolder
from evo.evaluate.backends.hf import HfBackend
from evo.evaluate.backends.vllm import VllmBackend
from evo.evaluate.server.command import probe
from evo.evaluate.server.place import down_reason, has_keeper, state_of

ROOT = Path(__file__).parents[2]
ADDITION = ROOT / "workspace_template" / "addition"
BASE = ADDITION / "model"
PYTHON = os.environ.get("EVO_VLLM_PYTHON", str(ROOT / ".venv-vllm" / "bin" / "python"))
ROWS = [json.loads(line) for line in (ADDITION / "gold.jsonl").read_text().splitlines()][:300]
ITEMS = [parse_item(row) for row in ROWS]
GREEDY = {"max_new_tokens": 6, "batch_size": 64}
NOISE = 3
"""Items of 300 on which two engines may differ: a tie between two tokens falls either way."""

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.timeout(600),
    pytest.mark.skipif(bool(probe(PYTHON).problem), reason=f"vLLM: {probe(PYTHON).problem}; make vllm-env installs it"),
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),  # in peft
]


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Iterator[ServiceFolder]:
    """One server for the module, found again by each test."""
    folder = ServiceFolder(tmp_path_factory.mktemp("warm") / "server")
    yield folder
    end(folder)


@pytest.fixture
def job(tmp_path, place) -> EvalJob:
    facts = ServerFacts(str(place.root), PYTHON, str(BASE), "pinned", device="cpu", idle_s=300.0)
    job = job_in(tmp_path, rows=ROWS, backend="vllm", model=str(BASE), base_model=str(BASE), server=facts)
    return replace(job, generation=GREEDY, device="cpu")


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> dict[str, Path]:
    """Two adapters and two full models that answer differently from the base and from each other.

    The model's embeddings are tied. `untied` is the same model with an output layer of its own.
    """
    folder = tmp_path_factory.mktemp("trained")
    made = {}
    for seed, name in enumerate(("one", "two"), start=1):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_pretrained(BASE, dtype=torch.float32)
        adapted = get_peft_model(model, LoraConfig(r=8, lora_alpha=16, target_modules="all-linear"))
        for parameter_name, parameter in adapted.named_parameters():
            if "lora_B" in parameter_name:
                torch.nn.init.normal_(parameter, std=0.03)
        adapted.save_pretrained(folder / name)
        made[name] = folder / name
        whole = Path(shutil.copytree(BASE, folder / f"full-{name}"))
        tensors = load_file(whole / "model.safetensors")
        tensors = {key: value + 0.01 * torch.randn_like(value) for key, value in tensors.items()}  # embeddings too
        save_file(tensors, whole / "model.safetensors", metadata={"format": "pt"})
        made[f"full-{name}"] = whole
        made[f"untied-{name}"] = untied(whole, folder / f"untied-{name}")
    return made


def untied(model: Path, folder: Path) -> Path:
    shutil.copytree(model, folder)
    tensors = load_file(folder / "model.safetensors")
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": False}))
    return folder


@pytest.fixture(scope="module")
def by_hf(tmp_path_factory, trained) -> dict[str, dict[str, str]]:
    """Name of the weights -> item -> answer of the hf backend."""
    folder = tmp_path_factory.mktemp("hf")
    job = job_in(folder, rows=ROWS, backend="hf", model=str(BASE), base_model=str(BASE), device="cpu")
    backend = HfBackend(replace(job, generation=GREEDY))
    found = {}
    for name, weights in {"base": BASE, **trained}.items():
        if name.startswith("untied"):
            continue
        backend.load(weights)
        found[name] = {answer.item.id: answer.output for answer in backend.generate(ITEMS)}
    assert len({tuple(answers.values()) for answers in found.values()}) == 5, "all of them answer differently"
    return found


def differing(backend: VllmBackend, weights: Path, expected: dict[str, str]) -> int:
    answers = {answer.item.id: answer.output for answer in backend.answers(ITEMS, weights)}
    assert answers.keys() == expected.keys()
    return sum(answers[item] != expected[item] for item in answers)


def test_a_warm_server_answers_as_hf_does_from_adapter_to_adapter(job, place, trained, by_hf):
    """A11: one vLLM process stays warm while adapters are swapped, and the scores are those of hf."""
    backend = VllmBackend(job)
    runs = set()
    for name in ("base", "one", "two", "one", "base", "two"):
        weights = BASE if name == "base" else trained[name]
        assert differing(backend, weights, by_hf[name]) <= NOISE, name
        runs.add(state_of(place).run)
    assert len(runs) == 1, "it never restarted"


def test_full_weights_are_swapped_while_the_server_runs(job, place, trained, by_hf, tmp_path):
    base = untied(BASE, tmp_path / "base")
    facts = replace(job.server, folder=str(tmp_path / "server"), base_model=str(base))
    backend = VllmBackend(replace(job, base_model=str(base), server=facts))
    try:
        for name in ("base", "full-one", "full-two", "base", "full-one"):
            weights = base if name == "base" else trained[name.replace("full", "untied")]
            assert differing(backend, weights, by_hf[name]) <= NOISE, name
        assert not ServiceFolder(tmp_path / "server").fixed.exists()
    finally:
        end(ServiceFolder(tmp_path / "server"))


def test_full_weights_with_tied_embeddings_have_a_server_of_their_own_on_a_cpu(job, place, trained, by_hf):
    assert differing(VllmBackend(job), trained["full-one"], by_hf["full-one"]) <= NOISE
    assert place.fixed.exists()
    assert list(place.root.parent.glob("server-*")) == []


def test_a_dead_engine_is_restarted_once_and_the_evaluation_goes_on(job, place, trained, by_hf):
    backend = VllmBackend(job)
    assert differing(backend, trained["two"], by_hf["two"]) <= NOISE
    before = state_of(place)
    os.kill(min(members(before.session) - {before.session}), signal.SIGKILL)
    assert differing(backend, trained["two"], by_hf["two"]) <= NOISE
    after = state_of(place)
    assert after.run != before.run
    assert members(before.session) == set()
    assert down_reason(place) == ""


def test_after_another_crash_it_is_down_and_a_mid_evaluation_goes_on_with_hf(job, place, by_hf, capfd):
    backend = VllmBackend(replace(job, split="mid"))
    list(backend.results(ITEMS[:4]))
    session = state_of(place).session

    def kill_again_and_again() -> None:
        while not down_reason(place):
            for pid in members(state_of(place).session) - {state_of(place).session}:
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.2)

    killer = threading.Thread(target=kill_again_and_again)
    killer.start()
    outputs = {result.item: result.output for result in backend.results(ITEMS)}
    killer.join()
    assert outputs == by_hf["base"]
    assert "mid-evaluations go on with hf" in capfd.readouterr().err
    assert members(session) == members(state_of(place).session) == set()
    assert not has_keeper(place)
    place.down.unlink()


def test_a_workspace_is_scored_by_its_server_which_ends_when_idle(tmp_path):
    """A11: `evo run` twice, one server; the engine is in the epoch; nothing is left after `server.idle`."""
    gold = tmp_path / "gold.jsonl"
    gold.write_text("".join(json.dumps(row) + "\n" for row in ROWS[:200]))
    assert evo("init", "ws", "--model", BASE, "--gold", gold, cwd=tmp_path).code == 0
    workspace = tmp_path / "ws"
    for key, value in {
        "system-prompt": "", "eval.max-new-tokens": "6", "eval.backend": "vllm", "server.python": PYTHON,
        "server.idle": "20s", "run.smoke": "never", "model.device": "cpu",
    }.items():  # fmt: skip
        assert evo("config", "set", key, value, cwd=workspace).code == 0
    root = evo("run", "exp_0000", cwd=workspace, timeout=300).data
    (folder,) = (workspace / ".evo/cache/server").iterdir()
    place = ServiceFolder(folder)
    try:
        first = state_of(place)
        assert first.state == "ready"
        summary = json.loads((workspace / ".evo/attempts/exp_0000/1/eval/summary.json").read_text())
        assert summary["engine"].startswith("vllm 0.")
        assert 0.2 < root["score"]["mean"] < 0.6
        scratch = evo("eval", "exp_0000", "--scratch", cwd=workspace, timeout=300).data
        assert scratch["mean"] == pytest.approx(root["score"]["mean"], abs=0.03)
        assert state_of(place).run == first.run
        until(lambda: not has_keeper(place), seconds=60)
        assert members(first.session) == set()
    finally:
        end(place)
