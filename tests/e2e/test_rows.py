"""Rows of the requirements, each held by a test that names it: here, or in the file beside it.

A3 test_cheats · A14 A15 A25 A26 A27 here · C10 here, test_data_seal, test_data_integrity · C12, E2 here, test_pages,
test_workspace_params · D10 here, test_evaluate_subset · the others where their docstrings name them
"""

from __future__ import annotations

import ast
import json
import subprocess
from pathlib import Path

import pytest
from workspaces import SCORE, evo, evo_here, make_command_workspace, new, skilled, write_gold

SPINE = ("A3", "A14", "A15", "A25", "A26", "A27", "C10", "C12", "D10", "E2")
TRAINING = (
    *("A5", "A6", "A7", "A8", "A9", "A10", "A11", "A12", "A13", "A23", "A24", "A28", "A30", "A31", "A32"),
    *("C17", "E3", "E4", "E5", "E6", "E10"),
)
SEALED = ("A16", "A17", "A18", "A19", "A20", "A22", "A28", "A29", "A35", "C13", "D15")
AGENTS = ("A2", "A21", "D1", "D2", "D3", "D13", "D14", "D17", "D18")
IDEAS = ("A1", "A4", "A22", "A34", "C5", "C6", "C7", "C8", "C14", "D16", "E1")


def test_each_row_is_named_by_a_test() -> None:
    pages = Path(__file__).resolve().parents[1].glob("*/test_*.py")
    tests = [
        node for page in pages for node in ast.walk(ast.parse(page.read_text())) if isinstance(node, ast.FunctionDef)
    ]
    told = " ".join(ast.get_docstring(test) or "" for test in tests if test.name.startswith("test_"))
    words = set(told.replace(":", " ").replace(",", " ").replace(";", " ").split())
    assert sorted({*SPINE, *TRAINING, *SEALED, *AGENTS, *IDEAS} - words) == []


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scored baseline; `scored` beside it gets a line for each call of the scorer."""
    folder = tmp_path_factory.mktemp("rows")
    count = f"open({str(folder / 'scored')!r}, 'a').write('x')\n"
    root = make_command_workspace(folder / "ws", n=150, score=count + SCORE)
    assert evo("run", "exp_0000", cwd=root).code == 0
    return root


def test_a14_the_cap_on_attempts(tmp_path: Path) -> None:
    """A14: three attempts by default, for sub-minute benchmarks too; `config set max-attempts 1` refuses the second.

    §12: the comments of evo.yaml stay where they are.
    """
    workspace = make_command_workspace(tmp_path / "ws", n=60)
    assert evo("config", "get", "max-attempts", cwd=workspace).data["value"] == 3
    before = (workspace / "evo.yaml").read_text()
    assert evo("config", "set", "max-attempts", "1", cwd=workspace).code == 0
    assert (workspace / "evo.yaml").read_text() == before.replace("max-attempts: 3 ", "max-attempts: 1 ")
    assert evo("config", "set", "gate.alpha", "5e-2", cwd=workspace).code == 0
    assert evo("config", "get", "gate.alpha", cwd=workspace).data["value"] == 0.05
    broken = new(workspace, "argv=false", "crashes", "--parent", "exp_0000")
    assert evo("run", broken, cwd=workspace).code == 6
    second = evo("run", broken, cwd=workspace)
    assert (second.code, "1 of 1 attempts" in second.error["message"]) == (4, True)
    assert "evo discard" in second.error["hint"]
    assert "evo new --parent exp_0000" in second.error["hint"]
    assert evo("config", "set", "max-attempts", "3", cwd=workspace).code == 0
    codes = [evo("run", broken, cwd=workspace).code for _ in range(3)]
    assert codes == [6, 6, 4]


def test_a15_a_regression_is_discarded_and_branched_around(workspace: Path) -> None:
    """A15: regression → `evo discard` → a branch from the parent with a different hypothesis."""
    worse = new(workspace, skilled(0.2), "a higher rate learns faster", "--parent", "exp_0000")
    assert evo("run", worse, cwd=workspace).data["delta"]["high"] < 0
    assert evo("discard", worse, "--reason", "it forgets", cwd=workspace).code == 0
    discards = evo("discards", cwd=workspace)
    assert worse in discards.out
    assert "it forgets" in discards.out
    barred = evo("new", "--recipe", "command", "--set", "argv=true", "-m", "x", "--parent", worse, cwd=workspace)
    assert (barred.code, "exp_0000" in barred.error["hint"]) == (4, True)
    other = new(workspace, skilled(0.45), "a lower rate keeps what it knew", "--parent", "exp_0000")
    assert evo("run", other, cwd=workspace).data["delta"]["mean"] > 0
    assert worse not in [pick["id"] for pick in evo("frontier", "-k", "9", cwd=workspace).data["picks"]]


def test_a25_the_environment_of_a_run(workspace: Path) -> None:
    """A25: the promised variables, for a child of the base and for its child; the held-out path is in none of them."""
    tell = """argv=sh -c 'env > "$EVO_CHECKPOINT_DIR/env"; cat "$EVO_JOB/job.json" > "$EVO_CHECKPOINT_DIR/job"'"""
    child = new(workspace, tell, "tells its environment", "--parent", "exp_0000")
    assert evo("run", child, cwd=workspace).code == 0
    grandchild = new(workspace, tell, "and its child", "--parent", child)
    assert evo("run", grandchild, cwd=workspace).code == 0
    for node, start in ((child, ""), (grandchild, str(workspace / ".evo/attempts" / child / "1/output"))):
        attempt = workspace / ".evo/attempts" / node / "1"
        env = dict(line.split("=", 1) for line in (attempt / "output/env").read_text().splitlines())
        assert {name: env.get(name) for name in env if name.startswith("EVO_")} == {
            "EVO_JOB": str(attempt),
            "EVO_EXPERIMENT_ID": node,
            "EVO_ATTEMPT": "1",
            "EVO_WORKTREE": str(workspace / ".evo/worktrees" / node),
            "EVO_DATASET": "",
            "EVO_SEED_ARTIFACT": start,
            "EVO_PARENT_POLICY": start,
            "EVO_CHECKPOINT_DIR": str(attempt / "output"),
            "EVO_TRACES_DIR": str(attempt / "traces"),
            "EVO_RESULT_PATH": str(attempt / "traces/claimed.json"),
        }
        told = (attempt / "output/env").read_text() + (attempt / "output/job").read_text()
        for word in ("sealed", "heldout", "vault", "gold"):
            assert word not in told


PAGE = """\
import pathlib
from evo import recipe

run = recipe.current()
for step in range(3):
    run.log(step=step, loss=1.0 / (step + 1), lr=1e-4)
(run.output_dir / "skill.txt").write_text("0.3")
best = run.folder / "best"
best.mkdir()
(best / "skill.txt").write_text("0.9")
run.finish(run.output_dir, artifacts={"best": best})
"""


def test_a26_only_what_a_recipe_declares_survives_a_discard(workspace: Path) -> None:
    """A26: artifact {kind, uri, content_key, created_by}, train_summary.json, metrics.jsonl; seedable by its label."""
    own = workspace / "recipes" / "own"
    own.mkdir(parents=True)
    (own / "recipe.yaml").write_text("name: own\ntechnique: sft\n")
    (own / "train.py").write_text(PAGE)
    maker = evo("new", "--recipe", "own", "-m", "makes", "--parent", "exp_0000", cwd=workspace).data["id"]
    assert evo("run", maker, cwd=workspace).code == 0
    attempt = workspace / ".evo/attempts" / maker / "1"
    metrics = [json.loads(line) for line in (attempt / "metrics.jsonl").read_text().splitlines()]
    assert [(row["step"], row["lr"]) for row in metrics] == [(0, 1e-4), (1, 1e-4), (2, 1e-4)]
    assert json.loads((attempt / "train_summary.json").read_text())["last"]["step"] == 2
    (artifact,) = json.loads((attempt / "artifacts.json").read_text())
    assert (artifact["label"], artifact["kind"], artifact["uri"]) == ("best", "folder", str(attempt / "best"))

    assert evo("discard", maker, "--reason", "only its artifact is good", cwd=workspace).code == 0
    assert str(attempt / "output") in evo("gc", "--dry-run", cwd=workspace).data["paths"]
    assert (attempt / "output").exists()
    assert evo("gc", "--delete", cwd=workspace).code == 0
    assert (attempt / "best/skill.txt").exists()
    assert not (attempt / "output").exists()
    copy = """argv=sh -c 'cp "$EVO_SEED_ARTIFACT"/skill.txt "$EVO_CHECKPOINT_DIR"/'"""
    words = ["--parent", "exp_0000", "--from-artifact"]
    heir = new(workspace, copy, "starts from it", *words, f"{maker}:best")
    ran = evo("run", heir, cwd=workspace).data
    assert ran["score"]["mean"] > evo("show", maker, cwd=workspace).data["score"]["mean"] + 0.3
    for source, code in ((maker, 4), (f"{maker}:last", 3)):
        refused = evo("new", "--recipe", "command", "--set", copy, "-m", source, *words, source, cwd=workspace)
        assert (refused.code, "best" in refused.error["hint"]) == (code, True), source


def test_a27_a_gate_check_never_trains_again(workspace: Path) -> None:
    """A27: the benchmark command is eval-only: certify, a new epoch, `eval` and `release` start it, and no training."""
    trained, scored = workspace.parent / "shared" / "trained", workspace.parent / "scored"
    line = f"""argv=sh -c 'echo x >> {trained}; echo 0.41 > "$EVO_CHECKPOINT_DIR/skill.txt"'"""
    node = new(workspace, line, "counts its trainings", "--parent", "exp_0000")
    assert evo("run", node, cwd=workspace).code == 0
    seen = []
    for words in (["certify", node], ["eval", node, "--scratch"], ["config", "set", "eval.seed", "7"],
                  ["rescore", node], ["release", node]):  # fmt: skip
        before = len(scored.read_text())
        assert evo(*words, cwd=workspace).code in (0, 5), words
        seen.append(len(scored.read_text()) > before)
    assert seen == [True, True, False, True, True]
    assert trained.read_text() == "x\n"
    assert evo("config", "set", "eval.seed", "42", cwd=workspace).code == 0


def test_c10_gold_is_locked_and_never_trained_on(tmp_path: Path) -> None:
    """C10: gold never in canonical, enforced; gold locked by hash: a changed split is refused by name."""
    workspace = make_command_workspace(tmp_path / "ws", n=150)
    sealed = workspace / ".evo/sealed/heldout.jsonl"
    rows = [row for row in map(json.loads, sealed.read_text().splitlines()) if "prompt" in row]
    leaky = tmp_path / "leaky.jsonl"
    leaky.write_text(json.dumps({"prompt": rows[0]["prompt"], "target": "x"}) + "\n")
    found = evo("data", "check", leaky, cwd=workspace)
    assert found.code == 5
    assert found.document["data"]["findings"][0]["split"] == "heldout"
    node = new(workspace, skilled(0.41), "asked", "--parent", "exp_0000")
    assert evo("run", node, cwd=workspace).code == 0
    sealed.write_text(sealed.read_text().replace(rows[1]["prompt"], "an easier question"))
    refused = evo("certify", node, cwd=workspace)
    assert (refused.code, "heldout" in refused.error["message"]) == (4, True)
    assert evo("status", cwd=workspace).data["looks"]["used"] == 0

    project = tmp_path / "project"
    project.mkdir()
    write_gold(project / "gold.jsonl", 60)
    make_repository(project)
    refused = evo("init", project, "--gold", project / "gold.jsonl", "--eval-command", "true", cwd=tmp_path)
    assert (refused.code, "gold.jsonl is tracked" in refused.error["message"]) == (4, True)


def make_repository(folder: Path) -> None:
    for words in (["init", "-q"], ["add", "."], ["-c", "user.name=x", "-c", "user.email=x@x", "commit", "-qm", "x"]):
        subprocess.run(["git", *words], cwd=folder, check=True)


SETTINGS = {
    "splits.seed": 42, "eval.seed": 42, "search.seed": 42, "loop.target": None, "loop.max-iterations": 10,
    "loop.augment-per-failure": 20, "loop.lr-decay": 0.8, "eval.scorer": "exact", "eval.max-new-tokens": 256,
    "eval.forbidden": [], "model.device": "auto", "hub.repo": "", "hub.private": True,
}  # fmt: skip
PARAMETERS = {
    "learning_rate": 5e-5, "min_learning_rate": 1e-6, "warmup": 0.1, "weight_decay": 0.01, "scheduler": "cosine",
    "epochs": 3, "gradient_accumulation": 1, "batch_size": 8, "max_length": 2048, "lora_rank": 32, "lora_alpha": 32,
    "lora_dropout": 0.05,
}  # fmt: skip
RANGES = ("lr=0", "lr=1.5", "lora_rank=0", "lora_rank=257", "batch_size=513", "max_length=127", "max_length=32769",
          "scheduler=sawtooth", "epochs=0", "lora_dropout=1")  # fmt: skip


def test_c12_and_e2_fields_defaults_and_ranges(workspace: Path) -> None:
    """C12, E2: the fields of the tools that evo replaces have a place in its own schema, a default and a range."""
    shown = evo_here("config show --json", cwd=workspace).data["settings"]
    assert {key: shown[key] for key in SETTINGS} == SETTINGS
    recipe = evo_here("recipe show sft --json", cwd=workspace).data["params"]
    defaults = {param["name"]: param["default"] for param in recipe}
    assert {name: defaults[name] for name in PARAMETERS} == PARAMETERS
    for setting in RANGES:
        refused = evo_here(f"new --recipe sft -m x --set {setting}", cwd=workspace)
        assert refused.code == 2, setting
    for key, value in (("loop.target", "1.5"), ("loop.max-iterations", "101"), ("loop.lr-decay", "0")):
        assert evo_here(f"config set {key} {value}", cwd=workspace).code == 2, key
    made = evo_here("new --recipe sft -m x --parent exp_0000 --set lr=5e-5 --json", cwd=workspace).data
    assert evo_here(f"show {made['id']} --json", cwd=workspace).data["recipe"]["params"]["learning_rate"] == 5e-5


def test_d10_a_score_needs_every_item_and_a_small_suite_is_none(tmp_path: Path) -> None:
    """D10: the evaluation is the real command line; a subset of the items is smoke only and never evidence."""
    score = f"""\
import json, os, sys
rows = [json.loads(line) for line in open(sys.argv[4])]
if os.path.exists({str(tmp_path / "some")!r}):
    rows = rows[:40]
open(sys.argv[6], "w").writelines(json.dumps({{"id": row["id"], "score": 1}}) + "\\n" for row in rows)
"""
    workspace = make_command_workspace(tmp_path / "ws", n=150, score=score)
    (tmp_path / "some").touch()
    ran = evo("run", "exp_0000", cwd=workspace)
    assert (ran.code, ran.document["data"]["score"]) == (6, None)
    assert "and 34 more" in ran.document["error"]["message"]  # 40 of 75
    (tmp_path / "some").unlink()
    assert evo("run", "exp_0000", cwd=workspace).data["score"]["n"] == 75
    suite = write_gold(tmp_path / "suite.jsonl", 5, start=1000)
    assert evo("eval", "exp_0000", "--scratch", "--suite", suite, cwd=workspace).data["n"] == 5
    assert evo("show", "exp_0000", cwd=workspace).data["score"]["n"] == 75
