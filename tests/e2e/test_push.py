"""Pushing to a hub, and the card that goes along: what is certified, what is not, and what nobody may learn from it."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_stub import TOKEN, Hub, running_hub
from ruamel.yaml import YAML
from workspaces import Answer, evo, make_command_workspace, new, skilled

from evo.session import open_session
from evo.store import experiments

pytest.importorskip("huggingface_hub")


@pytest.fixture
def hub() -> Iterator[Hub]:
    with running_hub() as running:
        yield running


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """exp_0001 is certified; exp_0002, a little worse, is open; exp_0003 was never run."""
    folder = make_command_workspace(tmp_path_factory.mktemp("push") / "w")
    assert evo("run", new(folder, skilled("0.9"), "much | <b>better</b>"), cwd=folder).data["state"] == "committed"
    assert evo("run", new(folder, skilled("0.85"), "worse", "--parent", "exp_0000"), cwd=folder).data["state"] == "open"
    new(folder, skilled("0.5"), "not run")
    return folder


def push(workspace: Path, hub: Hub, *words: str, **env: str) -> Answer:
    loopback = {"HF_ENDPOINT": hub.url, "HF_TOKEN": TOKEN, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}
    return evo("push", *words, cwd=workspace, **{**loopback, "HF_HUB_DISABLE_TELEMETRY": "1", **env})


def front_matter(card: str) -> dict[str, object]:
    found: dict[str, object] = YAML(typ="safe").load(card.split("---\n")[1])
    return found


def test_what_is_certified_is_one_commit_on_the_hub(workspace, hub):
    answer = push(workspace, hub, "exp_0001", "--repo", "me/sums")
    view = answer.data
    assert (view["certified"], view["private"], view["url"]) == (True, True, f"{hub.url}/me/sums")
    assert hub.made["me/sums"]["visibility"] == "private"
    assert hub.messages == ["exp_0001 (certified)"]
    files = hub.files["me/sums"]
    assert set(files) == {".gitattributes", "README.md", "evo.json", "skill.txt"}
    assert files["skill.txt"] == b"0.9\n"
    assert "**Certified** against exp_0000" in files["README.md"].decode()
    assert "UNCERTIFIED" not in files["README.md"].decode()
    assert not list((workspace / ".evo" / "cache").glob("push-*"))


def test_what_is_not_certified_is_refused_unless_it_is_said_and_then_the_card_says_it(workspace, hub):
    for identifier in ("exp_0002", "exp_0000"):
        refused = push(workspace, hub, identifier, "--repo", "me/open")
        assert (refused.code, "no certificate" in refused.error["message"]) == (4, True)
    assert hub.asked == []
    answer = push(workspace, hub, "exp_0002", "--repo", "me/open", "--allow-uncertified", "--public")
    assert answer.data["certified"] is False
    assert "is not certified" in answer.document["warnings"][0]
    assert hub.made["me/open"]["visibility"] == "public"
    assert hub.messages == ["exp_0002 (UNCERTIFIED)"]
    assert "**UNCERTIFIED.**" in hub.files["me/open"]["README.md"].decode()


def test_the_second_push_takes_away_weights_of_the_first_and_nothing_else(workspace, hub):
    assert push(workspace, hub, "1", "--repo", "me/sums").code == 0
    old = {"model-00001-of-00002.safetensors": b"x", "adapter_config.json": b"{}", "notes.md": b"mine"}
    hub.files["me/sums"] |= old
    hub.objects.clear()
    assert push(workspace, hub, "2", "--repo", "me/sums", "--allow-uncertified").code == 0
    assert set(hub.files["me/sums"]) == {".gitattributes", "README.md", "evo.json", "skill.txt", "notes.md"}


@pytest.mark.parametrize(
    ("words", "env", "code", "said"),
    [
        (["1", "--repo", "me"], {}, 2, "'me' is no repository"),
        (["1", "--repo", "a/b/c"], {}, 2, "is no repository"),
        (["1", "--repo", "me/.."], {}, 2, "is no repository"),
        (["1"], {}, 2, "no repository was named"),
        (["1", "--repo", "me/x"], {"HF_TOKEN": ""}, 4, "HF_TOKEN is not set"),
        (["1", "--repo", "me/x"], {"HF_HUB_OFFLINE": "1"}, 4, "HF_HUB_OFFLINE is set"),
        (["3", "--repo", "me/x", "--allow-uncertified"], {}, 4, "has no score yet"),
        (["99", "--repo", "me/x"], {}, 3, "exp_0099"),
        (["1", "--repo", "me/x"], {"HF_ENDPOINT": "http://127.0.0.1:9"}, 6, "Connection refused"),
        (["1", "--repo", "me/x"], {"HF_TOKEN": "hf_wrong_secret"}, 6, "Invalid credentials"),
    ],
)
def test_what_cannot_be_pushed_is_said_before_and_no_secret_is_printed(workspace, hub, words, env, code, said):
    answer = push(workspace, hub, *words, **env)
    assert answer.code == code, answer.out + answer.err
    assert said in answer.error["message"]
    assert "secret" not in answer.out + answer.err
    assert hub.messages == []


def test_a_commit_that_the_hub_refuses_leaves_nothing(workspace, hub):
    hub.refuse_commits = True
    answer = push(workspace, hub, "1", "--repo", "me/x")
    assert answer.code == 6
    assert "the stub says no" in answer.error["message"] or "500" in answer.error["message"]
    assert set(hub.files["me/x"]) == {".gitattributes"}
    assert not list((workspace / ".evo" / "cache").glob("push-*"))


def test_a_token_that_lies_in_a_file_is_not_taken(workspace, hub, tmp_path):
    """The token comes from HF_TOKEN and from nowhere else."""
    (tmp_path / "token").write_text(TOKEN)
    assert push(workspace, hub, "1", "--repo", "me/x", HF_TOKEN="", HF_TOKEN_PATH=str(tmp_path / "token")).code == 4
    assert hub.asked == []


def test_the_repository_of_evo_yaml_is_the_default(tmp_path, hub):
    workspace = make_command_workspace(tmp_path / "w", "hub.repo=me/default", "hub.private=false")
    assert evo("run", "exp_0000", cwd=workspace).code == 0
    assert push(workspace, hub, "0", "--allow-uncertified").data["repo"] == "me/default"
    assert hub.made["me/default"]["visibility"] == "public"


def test_a_contaminated_experiment_does_not_leave(tmp_path, hub):
    workspace = make_command_workspace(tmp_path / "w")
    other = new(workspace, skilled("0.5"), "another")
    with open_session(workspace) as session:
        experiments.move(session.db, other, "contaminated", reason="holds dev items")
    refused = push(workspace, hub, other, "--repo", "me/x", "--allow-uncertified")
    assert (refused.code, "holds dev items" in refused.error["message"]) == (5, True)


def test_the_card_tells_the_whole_story_in_a_form_that_the_hub_reads(workspace, tmp_path):
    """Lineage, recipe, score with its interval, certificate, looks: and text of others has no say in its form."""
    view = evo("card", "exp_0001", "--to", tmp_path / "README.md", cwd=workspace).data
    card = (tmp_path / "README.md").read_text()
    assert (view["certified"], view["text"]) == (True, card)
    assert front_matter(card) == {"tags": ["evo", "certified", "command"]}
    shown = evo("show", "exp_0001", cwd=workspace).data
    for words in (
        f"score **{shown['score']['mean']:.4g}**, 95 % interval",
        f"{shown['delta']['low']:+.4g} to {shown['delta']['high']:+.4g}",
        "**Certified** against exp_0000",
        f"(look 1, mode certify, isolation: {shown['attempts'][0]['isolation']})",
        "1 of 20 looks",
        "| exp_0000 | committed | base |",
        "| exp_0001 | committed | command |",
        "much \\| \\<b>better\\</b>",
        "python score.py",
        "seed 42",
    ):
        assert words in card, words
    assert str(workspace) not in card
    exists = evo("card", "exp_0001", "--to", tmp_path / "README.md", cwd=workspace)
    assert (exists.code, (tmp_path / "README.md").read_text()) == (4, card)
    assert evo("card", "exp_0003", cwd=workspace).code == 4


def test_of_held_out_the_card_has_one_bit_and_of_the_vault_nothing_before_release(tmp_path):
    """§7, §12: before `release` no view holds a held-out mean, gain, p, b or c."""
    workspace = make_command_workspace(tmp_path / "w")
    assert evo("run", new(workspace, skilled("0.9"), "better"), cwd=workspace).data["state"] == "committed"
    means = [
        statistics.fmean(json.loads(line)["score"] for line in path.read_text().splitlines())
        for path in (workspace / ".evo" / "sealed" / "results").rglob("results.jsonl")
    ]
    before = evo("card", "1", cwd=workspace).data["text"]
    dev = [evo("show", name, cwd=workspace).data["score"]["mean"] for name in ("0", "1")]
    assert len(means) == 2
    assert not any(f"{mean:.4g}" in before for mean in means if mean not in dev)
    assert "Final" not in before
    released = evo("release", cwd=workspace).data["vault"]
    after = evo("card", "1", cwd=workspace).data["text"]
    assert f"**Final: score {released['mean']:.4g}**" in after
    assert "Final" not in evo("card", "0", cwd=workspace).data["text"]


def test_the_card_of_a_scalar_benchmark_says_that_nothing_can_certify_it(tmp_path):
    (tmp_path / "evaluate.py").write_text("import sys; open(sys.argv[1], 'w').write('{\"accuracy\": 0.5}')")
    answer = evo(
        "init", "w", "--template", "command", "--eval-command", "python evaluate.py {out}", "--eval-files",
        tmp_path / "evaluate.py", "--set", "eval.mode=scalar", "--set", "metric.name=accuracy", cwd=tmp_path,
    )  # fmt: skip
    assert answer.code == 0
    made = new(tmp_path / "w", skilled("0.5"), "x")
    assert evo("run", made, cwd=tmp_path / "w").code == 0
    card = evo("card", made, cwd=tmp_path / "w").data["text"]
    assert "> **UNCERTIFIED.** The benchmark yields one number a call, which no paired test can certify" in card
    assert "on 3 repeats" in card


@pytest.mark.filterwarnings("ignore:.*checkpointing:FutureWarning")
def test_weights_go_through_lfs_and_the_card_names_a_local_base_by_its_name_alone(tmp_path, hub):
    """The adapter's config and the card hold no path of this machine; merged, the model stands for itself."""
    pytest.importorskip("peft")
    from publishing import experiment_of, model_workspace, save_base, save_lora

    workspace = model_workspace(tmp_path / "w", save_base(tmp_path / "base"))
    made = experiment_of(workspace, save_lora(tmp_path / "lora"), skill=0.9)
    adapter = push(workspace, hub, made, "--repo", "me/adapter")
    assert "--merge" in adapter.document["warnings"][0]
    files = hub.files["me/adapter"]
    assert files["adapter_model.safetensors"] == (tmp_path / "lora" / "adapter_model.safetensors").read_bytes()
    assert any(asked.startswith("PUT /lfs/") for asked in hub.asked)
    assert json.loads(files["adapter_config.json"])["base_model_name_or_path"] == "base"
    assert front_matter(files["README.md"].decode())["library_name"] == "peft"
    merged = push(workspace, hub, made, "--repo", "me/merged", "--merge")
    assert (merged.data["kind"], merged.document["warnings"]) == ("merged", [])
    assert front_matter(hub.files["me/merged"]["README.md"].decode())["library_name"] == "transformers"
    for repository in ("me/adapter", "me/merged"):
        texts = [data for name, data in hub.files[repository].items() if not name.endswith(".safetensors")]
        assert not any(str(tmp_path / folder).encode() in text for text in texts for folder in ("w", "base"))
