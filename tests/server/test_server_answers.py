"""What the warm server is asked, and whose weights answer."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import replace

import pytest
import standin_vllm
from evaluating import results_of, run
from safetensors.torch import load_file, save_file
from servers import GREEDY, ITEMS, ROWS, adapter, answered_by, digest, other_weights
from tiny_llama import save_model

from evo.errors import RunFailed, UsageError
from evo.evaluate.backends.vllm import VllmBackend
from evo.evaluate.generation import generation_of
from evo.evaluate.grading import InvalidResults
from evo.evaluate.prompts import Prompter
from evo.evaluate.server.hold import Hold
from evo.evaluate.server.place import state_of
from evo.evaluate.server.staging import why_not_servable
from evo.files import write_json

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # in peft


# -- the weights that answer


def test_adapters_come_and_go_under_names_of_their_own(job, python, base, tmp_path):
    one, two = adapter(tmp_path / "one", base, fill=0.1), adapter(tmp_path / "two", base, fill=0.2)
    backend = VllmBackend(job)
    for folder in (one, two, base, one):
        assert answered_by(backend, folder) == {digest(folder)}
    names = [asked["lora_name"] for asked in standin_vllm.requests(python, "/v1/load_lora_adapter")]
    assert len(set(names)) == 3
    assert [asked["lora_name"] for asked in standin_vllm.requests(python, "/v1/unload_lora_adapter")] == names
    assert len(standin_vllm.requests(python, "/start")) == 1


def test_full_weights_are_swapped_in_and_the_next_user_has_the_base_again(job, python, base, tmp_path):
    backend = VllmBackend(job)
    first, second = (other_weights(tmp_path / str(scale), base, scale=scale) for scale in (2.0, 3.0))
    for folder in (base, first, second, base):
        assert answered_by(backend, folder) == {digest(folder)}
    assert len(standin_vllm.requests(python, "/collective_rpc")) == 3
    assert len(standin_vllm.requests(python, "/reset_prefix_cache")) == 3
    salts = {asked["cache_salt"] for asked in standin_vllm.requests(python, "/v1/completions")}
    assert len(salts) == 3


def test_nothing_of_a_trained_folder_but_its_tensors_is_shown_to_the_server(job, place, python, base, tmp_path):
    """vLLM reads every safetensors file that it finds, and the hash covers those that a loader reads."""
    trained = other_weights(tmp_path / "trained", base, scale=2.0)
    shutil.copy(base / "model.safetensors", trained / "model-of-another.safetensors")
    (trained / "tokenizer.json").write_text("{}")
    standin_vllm.trouble(python, "lists-files")
    assert answered_by(VllmBackend(job), trained) == {digest(trained)}
    (seen,) = standin_vllm.requests(python, "/files")
    assert "model.safetensors" in seen
    assert "model-of-another.safetensors" not in seen
    assert seen["tokenizer.json"] == str(base / "tokenizer.json")
    assert [path for path in place.root.iterdir() if path.name.startswith("stage")] == []


def test_a_swap_that_was_cut_off_is_not_taken_for_the_base(job, place, python, base, tmp_path):
    assert answered_by(VllmBackend(job), base) == {digest(base)}
    write_json(place.weights, {"run": state_of(place).run, "weights": ""})  # as a user that died in a swap leaves it
    assert answered_by(VllmBackend(job), base) == {digest(base)}
    assert len(standin_vllm.requests(python, "/collective_rpc")) == 1


def test_a_server_that_restarts_in_a_swap_answers_with_the_right_weights(job, python, base, tmp_path):
    trained = other_weights(tmp_path / "trained", base, scale=2.0)
    standin_vllm.trouble(python, "dies-after-reload*1")
    assert answered_by(VllmBackend(job), trained) == {digest(trained)}
    assert answered_by(VllmBackend(job), base) == {digest(base)}


def test_full_weights_have_the_server_alone(job, place, base, tmp_path):
    trained = other_weights(tmp_path / "trained", base, scale=2.0)
    hold = Hold(job.server, dict(os.environ))
    server = hold.ready()
    with hold.with_weights(server, trained, "x"):
        other = subprocess.Popen(["flock", "--shared", "--nonblock", str(place.weights_lock), "true"])
        assert other.wait() == 1
    assert subprocess.run(["flock", "--nonblock", str(place.weights_lock), "true"], check=False).returncode == 0
    hold.release()


def test_a_server_that_cannot_swap_has_one_of_its_own_beside_it_for_full_weights(job, place, python, base, tmp_path):
    trained = other_weights(tmp_path / "trained", base, scale=2.0)
    standin_vllm.trouble(python, "cannot-reload")
    backend = VllmBackend(job)
    assert answered_by(backend, trained) == {digest(trained)}
    assert answered_by(backend, base) == {digest(base)}
    assert answered_by(backend, trained) == {digest(trained)}
    assert len(standin_vllm.requests(python, "/collective_rpc")) == 1, "it is tried once"
    assert len(standin_vllm.requests(python, "/start")) == 3
    assert list(tmp_path.glob("server-*")) == []


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_tied_embeddings_are_swapped_on_a_gpu_only(job, python, tmp_path, device):
    """On a CPU vLLM keeps a packed copy of them, and would go on with that of the old weights."""
    tied = save_model(tmp_path / "tied", seed=3, is_tied=True)
    trained = other_weights(tmp_path / "trained", tied, scale=2.0)
    standin_vllm.trouble(python, "on-cuda" if device == "cuda" else "")
    job = replace(job, base_model=str(tied), server=replace(job.server, base_model=str(tied)))
    assert answered_by(VllmBackend(job), trained) == {digest(trained)}
    swaps, starts = (len(standin_vllm.requests(python, path)) for path in ("/collective_rpc", "/start"))
    assert (swaps, starts) == ((1, 1) if device == "cuda" else (0, 2))


def test_weights_that_are_not_the_bases_tensors_never_reach_the_server(job, python, base, tmp_path):
    part = other_weights(tmp_path / "part", base, scale=2.0)
    tensors = load_file(part / "model.safetensors")
    del tensors["model.norm.weight"]
    save_file(tensors, part / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InvalidResults, match=r"model\.norm\.weight is missing"):
        answered_by(VllmBackend(job), part)
    assert standin_vllm.requests(python, "/collective_rpc") == []


@pytest.mark.parametrize(
    ("settings", "why"),
    [({"use_dora": True}, "use_dora"), ({"rank_pattern": {"q_proj": 2}}, "rank_pattern"), ({"bias": "all"}, "biases")],
)
def test_an_adapter_that_vllm_would_misread_is_merged_first(job, python, base, tmp_path, settings, why):
    folder = adapter(tmp_path / "odd", base, **settings)
    assert why in why_not_servable(folder, max_rank=64)
    (answer,) = answered_by(VllmBackend(job), folder)
    assert answer not in (digest(base), digest(folder))
    assert standin_vllm.requests(python, "/v1/load_lora_adapter") == []


def test_an_ordinary_adapter_is_served_as_it_is_up_to_the_rank_of_the_server(base, tmp_path):
    folder = adapter(tmp_path / "plain", base)
    assert why_not_servable(folder, max_rank=4) == ""
    assert why_not_servable(folder, max_rank=3) == "its rank 4 is above server.max-lora-rank 3"


# -- what is asked, and how


def test_the_server_is_asked_with_the_tokens_of_the_hf_backend(job, python, base):
    job = replace(job, system_prompt="Answer.", generation=GREEDY | {"stop": ["|"]})
    outputs = {answer.output for answer in VllmBackend(job).answers(ITEMS, base)}
    assert outputs == {digest(base)}, "cut at the stop text"
    prompter = Prompter(replace(job, backend="hf"), generation_of(job.generation))
    asked = standin_vllm.requests(python, "/v1/completions")
    assert [len(one["prompt"]) for one in asked] != [], "in batches"
    sent = sorted(tokens for one in asked for tokens in one["prompt"])
    assert sent == sorted(prompt.tokens for prompt in prompter.prompts(ITEMS, limit=None))
    for one in asked:
        assert len(one["prompt"]) <= 3
        assert (one["temperature"], one["ignore_eos"], one["stop_token_ids"]) == (0, True, prompter.ends)
        assert (one["stop"], one["max_tokens"]) == (["|"], 24)


def test_every_sampled_answer_has_a_seed_of_its_own_that_comes_again(job, python, base):
    job = replace(job, generation=GREEDY | {"temperature": 1.0, "samples": 2, "top_p": 0.9})
    first = {(a.item.id, a.sample): a.output for a in VllmBackend(job).answers(ITEMS, base)}
    again = {(a.item.id, a.sample): a.output for a in VllmBackend(job).answers(ITEMS, base)}
    assert first == again
    assert len({asked["seed"] for asked in standin_vllm.requests(python, "/v1/completions")}) == 14
    assert {asked["top_p"] for asked in standin_vllm.requests(python, "/v1/completions")} == {0.9}


def test_greedy_samples_are_one_answer_given_k_times(job, python, base):
    job = replace(job, generation=GREEDY | {"samples": 3})
    answers = list(VllmBackend(job).answers(ITEMS, base))
    assert len(answers) == 21
    assert sum(len(one["prompt"]) for one in standin_vllm.requests(python, "/v1/completions")) == 7


def test_an_item_that_does_not_fit_is_named_with_the_setting(job, facts, base):
    short = replace(facts, max_length=30)
    with pytest.raises(RunFailed, match=r"dev item in line 7 .* server.max-length is 30") as caught:
        answered_by(VllmBackend(replace(job, server=short)), base)
    assert caught.value.hint.startswith("evo config set server.max-length ")


def test_the_socket_is_out_of_reach_for_others_and_no_port_is_open(job, place, python, base):
    answered_by(VllmBackend(job), base)
    assert place.root.stat().st_mode & 0o077 == 0
    (started,) = standin_vllm.requests(python, "/start")
    assert "--uds" in started
    assert "--port" not in started


def test_no_item_of_a_sealed_split_is_written_to_the_servers_folder(job, place, base):
    ended = run(replace(job, split="heldout", keep_output=False))
    assert ended.returncode == 0, ended.stderr
    written = b"".join(path.read_bytes() for path in place.root.glob("*") if path.is_file())
    assert not any(row["prompt"].encode() in written for row in ROWS)
    assert all("output" not in row for row in results_of(job))


def test_a_job_without_a_server_is_refused(job):
    with pytest.raises(UsageError, match="needs a server"):
        VllmBackend(replace(job, server=None))
