"""What a training process finds in its environment, and what it must not."""

from __future__ import annotations

from pathlib import Path

from evo.domain.job import AttemptFolder, RunFacts
from evo.runner.environment import make_folders, ordinary_environment, run_environment

AMBIENT = {
    "PATH": "/usr/bin:/bin",
    "HOME": "/home/ada",
    "LANG": "C.UTF-8",
    "LC_TIME": "de_DE",
    "CUDA_VISIBLE_DEVICES": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_TOKEN": "hf-secret",
    "ANTHROPIC_API_KEY": "sk-secret",
    "WANDB_API_KEY": "wandb-secret",
    "AWS_SECRET_ACCESS_KEY": "aws-secret",
    "NVIDIA_API_KEY": "nv-secret",
    "SSH_AUTH_SOCK": "/run/agent",
    "EVO_JOB": "/elsewhere",
    "EVO_SEALED": "/home/me/ws/.evo/sealed",
}


def build(
    root: Path, *, passed: tuple[str, ...] = (), artifact: str | None = "/parent/output", is_smoke: bool = False
) -> dict[str, str]:
    folder = AttemptFolder(root / ".evo" / "attempts" / "exp_0007" / "2")
    data = {"train": str(root / "train.jsonl")}
    facts = RunFacts(
        *("exp_0007", 2, 42, {}, data, str(folder.output), str(root / ".evo" / "cache")),
        seed_artifact=artifact, is_smoke=is_smoke,
    )  # fmt: skip
    ordinary = ordinary_environment(AMBIENT, passed=passed, interpreter=Path("/venv/bin/python"))
    return run_environment(facts, folder, worktree=root / "wt", tree="sums", ordinary=ordinary)


def test_a25_the_contract_of_the_environment_without_held_out(tmp_path: Path) -> None:
    """A25: every promised variable is there; the path of held-out or vault is in none."""
    env = build(tmp_path)
    attempt = tmp_path / ".evo" / "attempts" / "exp_0007" / "2"
    promised = {
        "EVO_JOB": attempt,
        "EVO_EXPERIMENT_ID": "exp_0007",
        "EVO_ATTEMPT": "2",
        "EVO_WORKTREE": tmp_path / "wt",
        "EVO_DATASET": tmp_path / "train.jsonl",
        "EVO_SEED_ARTIFACT": "/parent/output",
        "EVO_PARENT_POLICY": "/parent/output",
        "EVO_CHECKPOINT_DIR": attempt / "output",
        "EVO_TRACES_DIR": attempt / "traces",
        "HOME": attempt / "home",
        "TMPDIR": attempt / "tmp",
        "WANDB_RUN_GROUP": "sums",
        "WANDB_RUN_ID": "sums-exp-0007-a2",
    }
    assert {name: env[name] for name in promised} == {name: str(value) for name, value in promised.items()}
    assert Path(env["EVO_RESULT_PATH"]).parent == attempt / "traces"
    assert not [name for name, value in env.items() if "sealed" in value or "heldout" in value or "vault" in value]
    assert "EVO_SEALED" not in env
    assert build(tmp_path, artifact=None)["EVO_SEED_ARTIFACT"] == ""
    assert "EVO_SMOKE" not in env
    assert build(tmp_path, is_smoke=True)["EVO_SMOKE"] == "1"


def test_ordinary_variables_pass_and_secrets_only_by_name(tmp_path: Path) -> None:
    env = build(tmp_path)
    assert (env["LANG"], env["LC_TIME"], env["CUDA_VISIBLE_DEVICES"]) == ("C.UTF-8", "de_DE", "1")
    assert env["TOKENIZERS_PARALLELISM"] == "false"
    assert env["PATH"] == "/venv/bin:/usr/bin:/bin"
    assert env["HF_HUB_CACHE"] == "/home/ada/.cache/huggingface/hub"
    assert not [value for value in env.values() if "secret" in value]
    assert "SSH_AUTH_SOCK" not in env
    assert env["WANDB_MODE"] == "offline"
    named = build(tmp_path, passed=("WANDB_API_KEY", "HOME", "EVO_JOB"))
    assert named["WANDB_API_KEY"] == "wandb-secret"
    assert "WANDB_MODE" not in named
    assert named["HOME"] == env["HOME"]
    assert named["EVO_JOB"] == env["EVO_JOB"]


def test_every_folder_that_is_named_is_there(tmp_path: Path) -> None:
    env = build(tmp_path)
    make_folders(AttemptFolder(Path(env["EVO_JOB"])))
    for name in ("HOME", "TMPDIR", "EVO_CHECKPOINT_DIR", "EVO_TRACES_DIR", "WANDB_DIR"):
        assert Path(env[name]).is_dir(), name
