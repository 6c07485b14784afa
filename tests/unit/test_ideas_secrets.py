"""What a model is told holds no secret, wherever it stood and wherever a text is cut."""

from __future__ import annotations

import json
import time

import pytest
from ideation import task, tree

from evo.ideas.secrets import masked, masked_in
from evo.ideas.sources import briefing

KEY = "sk-ant-api03-" + "ABCDEFGH" * 10


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (f"key {KEY} end", "ABCDEFGH"),
        ('{"api_key": "deadbeefdeadbeef"}', "deadbeef"),
        (r"{\"password\": \"correct horse\"}", "horse"),
        ("password='correct horse battery'", "battery"),
        ("WANDB_API_KEY=abc123", "abc123"),
        ("Authorization: Bearer abcdef0123456789", "abcdef"),
        ('curl -H "Authorization: token abcd1234efgh" x', "abcd"),
        ("bearer abcdef0123456789", "abcdef"),
        ("AWS_SECRET_ACCESS_KEY=AbC", "AbC"),
        ("AKIAIOSFODNN7EXAMPLE", "IOSFODNN"),
        ('"HF_TOKEN": "hf_x"', "hf_x"),
        ("python train.py --api-key=hf_SECRETSECRET --token s3cr3t99 --password hunter2", "SECRET"),
        ("python train.py --token s3cr3t99", "s3cr3t99"),
        ("python train.py --db-password hunter2", "hunter2"),
        ("postgres://me:pw12@host/db", "pw12"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmVk", "c2lnbmVk"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNz\n-----END OPENSSH PRIVATE KEY-----", "b3Blbn"),
        ("-----BEGIN PRIVATE KEY-----\nb3BlbnNz and then it was cut", "b3Blbn"),
        ("netrc 4f1a9c3d2e5b6a7980123456789abcdef0123456 x", "4f1a9c"),
        (
            "glpat-abcdefghij12345 github_pat_11ABCDEFG ghp_abcdefghijklmn gsk_abcdefghijklmn hf_abcdefghijklmn",
            "abcdefg",
        ),
        ("wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY0", "wJalr"),
    ],
)
def test_a_secret_is_masked(text: str, secret: str) -> None:
    assert secret not in masked(text)
    assert "…" in masked(text)
    assert masked(masked(text)) == masked(text)


@pytest.mark.parametrize(
    "text",
    [
        "max_new_token: 512, max_tokens=512",
        "pad_token: <pad> eos_token='</s>'",
        "mean_token_accuracy: 0.98 and tokenizer=Qwen2.5-0.5B-Instruct",
        "the token budget: 5; the secret of it is patience",
        "learning_rate=5e-5 model_parameters_with_many_words_in_their_names_2024",
        "hf_hub_download of huggingface_hub, in hf_tokenizer",
        "see https://arxiv.org/abs/2305.18290 and a/b/c:d@e",
    ],
)
def test_words_of_the_trade_are_none(text: str) -> None:
    assert masked(text) == text


def test_a_document_is_masked_all_the_way_down() -> None:
    told = {
        "params": {"argv": "python t.py --api-key=abc", "api_key": "plain words", "pin": 1.5},
        "rows": ["TOKEN=abcd1"],
    }
    assert masked_in(told) == {
        "params": {"argv": "python t.py --api-key=…", "api_key": "…", "pin": 1.5},
        "rows": ["TOKEN=…"],
    }
    assert masked_in({"password": 1234, "max_token": 512, "has_secret": True}) == {
        "password": "…", "max_token": 512, "has_secret": True,
    }  # fmt: skip


@pytest.mark.parametrize("shift", range(0, 110, 7))
def test_no_cut_leaves_the_rest_of_a_secret(shift: int) -> None:
    """The end of a log is told, and the key lies across its beginning."""
    log = f"{'x ' * 300}Authorization: key {KEY} {'y' * (200 + shift)}"
    params = {"argv": "python train.py --api-key=hf_SECRETSECRETSECRET", "nested": {"env": ["WANDB_API_KEY=abc123"]}}
    facts = tree(task("demonstrations"), {"failure": "nonzero_exit", "log_tail": log, "params": params})
    told = briefing.task_of(facts, "failure_analysis", 3)
    assert "yyyy" in told
    assert not any(secret in told for secret in ("ABCD", "EFGH", "SECRET", "abc123"))
    node = json.loads(told[told.index("{") :])["experiments"][-1]
    assert node["params"]["argv"] == "python train.py --api-key=…"


@pytest.mark.parametrize(
    "piece",
    ["a", "A1a", "token=", "secret", "--", "://a:", "-----BEGIN PRIVATE KEY", "bearer ", "eyJaaaaaaaa.", "=\\", "-a"],
)
def test_any_text_is_masked_in_time(piece: str) -> None:
    began = time.process_time()
    masked(piece * (100_000 // len(piece)))
    assert time.process_time() - began < 2
