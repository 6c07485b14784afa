"""What all pages do alike: pace, checkpoints, resume, mid-evaluation, early stop, what is handed over.

The mid-evaluator of these tests is a thread that speaks the files of the protocol and gives the scores it is told.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("trl")

from paging import OWN, PAIRS, PARAMS, ROOT, SUMS, alone, environment, lay_down, metrics_of  # noqa: E402
from peft import PeftModel  # noqa: E402
from safetensors.torch import load_file  # noqa: E402
from transformers import AutoModelForCausalLM  # noqa: E402

from evo.domain.job import MidFacts  # noqa: E402
from evo.files import read_json, sha256_file, write_json, write_jsonl  # noqa: E402
from evo.recipe.progress import Progress  # noqa: E402
from evo.runner.launcher import page_argv  # noqa: E402

MANY = [{"prompt": f"{a}+{b}=", "target": str(a + b)} for a in range(10, 42) for b in range(1, 9)]
"""256 rows: 32 steps of an epoch."""

pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


class Evaluator:
    """Answers what is asked in `root/mid`, one score after another; `asked` notes what was looked at."""

    def __init__(self, root: Path, scores: list[float]) -> None:
        self.root, self.scores = root, scores
        self.asked: dict[int, dict[str, str]] = {}
        """Step -> file name -> hash, as the weights lay there when they were to be scored."""

    def answer(self) -> None:
        for want in sorted((self.root / "mid").glob("*.want.json")):
            out = want.with_name(want.name.replace(".want", ""))
            if out.exists():
                continue
            question = read_json(want)
            step, model = question["step"], Path(question["model"])
            self.asked[step] = {path.name: sha256_file(path) for path in model.glob("*.safetensors")}
            mean = self.scores[len(self.asked) - 1]
            is_best = all(mean > earlier for earlier in self.scores[: len(self.asked) - 1])
            write_json(out, {"step": step, "mean": mean, "se": 0.1, "n": 8, "seconds": 0.0, "is_best": is_best})

    @contextmanager
    def at_work(self) -> Iterator[Evaluator]:
        over = threading.Event()

        def serve() -> None:
            while not over.wait(0.01):
                self.answer()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield self
        finally:
            over.set()
            thread.join()


@pytest.fixture
def evaluated(start, tmp_path):
    """Run a page with mid-evaluations that give `scores`; the folder, and what the evaluator saw."""

    def run(name: str, scores: list[float], recipe: str = "sft", rows: list[dict] | None = None, **others: object):
        mid = MidFacts(every=others.pop("every", 2), patience=others.pop("patience", 2), items=8)
        facts = {"mid": mid, **others.pop("facts", {})}
        with Evaluator(tmp_path / name, scores).at_work() as evaluator:
            folder, trainer = start(recipe, name, rows, facts, **others)
        return folder, trainer, evaluator

    return run


# --- what is handed over ----------------------------------------------------------------------------------------------


def test_the_best_checkpoint_is_the_output_and_patience_ends_the_run(evaluated):
    """A8: two checkpoints without improvement end training. A9: the best one comes out, not the last."""
    folder, trainer, evaluator = evaluated("one", [0.2, 0.5, 0.5, 0.4, 0.9], max_steps=20)
    assert sorted(evaluator.asked) == [2, 4, 6, 8], "stopped two checkpoints after the best: a tie is no improvement"
    assert trainer.state.global_step == 8
    assert sha256_file(folder.output / "model.safetensors") == evaluator.asked[4]["model.safetensors"]
    assert sha256_file(folder.output / "model.safetensors") != evaluator.asked[8]["model.safetensors"]
    artifacts = {entry["label"]: entry for entry in read_json(folder.artifacts)}
    assert set(artifacts) == {"step-4"}
    assert artifacts["step-4"]["uri"] == str(folder.output)
    left = {path.name for path in folder.root.iterdir() if path.is_dir()}
    assert left == {"output", "mid"}, "nobody will resume a finished run: its optimizer states only take room"


@pytest.mark.parametrize(("worst", "scores", "ends"), [(0.0, [0, 0, 0, 0.5, 0.4, 0, 0.9], 12), (None, [0, 0, 0], 6)])
def test_patience_begins_with_the_first_score_above_the_worst(evaluated, worst, scores, ends):
    """A8: a base at zero is not stopped before it has learned anything; what has learned and falls back is."""
    mid = MidFacts(every=2, patience=2, items=8, worst=worst)
    _, trainer, _ = evaluated("one", scores, max_steps=20, facts={"mid": mid})
    assert trainer.state.global_step == ends


def test_of_an_adapter_every_evaluated_step_can_be_branched_from(evaluated, base):
    """A13: a later experiment can start at any checkpoint that was looked at."""
    folder, _, evaluator = evaluated("one", [0.2, 0.5, 0.3], max_steps=6, method="lora")
    artifacts = {entry["label"]: Path(entry["uri"]) for entry in read_json(folder.artifacts)}
    assert set(artifacts) == {"step-2", "step-4", "step-6"}
    for step in (2, 4, 6):
        name = "adapter_model.safetensors"
        assert sha256_file(artifacts[f"step-{step}"] / name) == evaluator.asked[step][name]
        PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), artifacts[f"step-{step}"])
    assert not [path for where in artifacts.values() for path in where.iterdir() if path.suffix in (".pt", ".bin")]


def test_an_adapter_on_other_weights_than_the_base_is_evaluated_merged(evaluated, start, base):
    """Loaded upon the base model, as the evaluator does, it would be another model than the one in training."""
    parent, _ = start("sft", "parent", learning_rate=5e-2)
    facts = {"seed_artifact": str(parent.output), "init_from": "parent"}
    folder, trainer, evaluator = evaluated("child", [0.5], method="lora", learning_rate=5e-2, max_steps=2, facts=facts)
    assert set(evaluator.asked[2]) == {"model.safetensors"}
    assert sha256_file(folder.output / "model.safetensors") == evaluator.asked[2]["model.safetensors"]
    whole = trainer.accelerator.unwrap_model(trainer.model).merge_and_unload()
    ends = load_file(folder.output / "model.safetensors")
    assert all(torch.allclose(ends[name], value, atol=1e-5) for name, value in whole.named_parameters())


def test_every_page_is_evaluated_on_the_way_through_the_same_callback(evaluated):
    for recipe in ("dpo", "kto", "orpo", "pretrain"):
        folder, _, evaluator = evaluated(recipe, [0.5, 0.2], recipe, max_steps=4)
        assert sorted(evaluator.asked) == [2, 4], recipe
        assert sha256_file(folder.output / "model.safetensors") == evaluator.asked[2]["model.safetensors"], recipe


def test_without_a_score_of_its_own_the_last_checkpoint_is_the_output(start, tmp_path, capsys):
    """Where mid-evaluation breaks, the best of what was scored says nothing about what came later."""
    facts = {"mid": MidFacts(every=2, patience=2, items=8)}
    evaluator = Evaluator(tmp_path / "one", [0.5, 0.1])
    served = threading.Thread(target=_serve_then_die, args=(evaluator, 2))
    served.start()
    folder, trainer = start("sft", "one", facts=facts, max_steps=6)
    served.join()
    assert sorted(evaluator.asked) == [2, 4]
    final = trainer.model.state_dict()
    assert all(
        torch.equal(final[name], value) for name, value in load_file(folder.output / "model.safetensors").items()
    )
    assert "no mid-evaluation at step 6: it died" in capsys.readouterr().err


def _serve_then_die(evaluator: Evaluator, answers: int) -> None:
    while len(evaluator.asked) < answers:
        evaluator.answer()
        time.sleep(0.005)
    write_json(evaluator.root / "mid" / "down.json", {"why": "it died"})


# --- pace -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rows", "every"), [(256, 8), (250, 8), (8, 1), (8000, 200)])
def test_checkpoints_come_a_quarter_epoch_apart_and_no_more_than_200_steps(start, rows, every):
    """A6: every quarter epoch or 200 steps, whichever is sooner."""
    many = [{"prompt": f"{k}+0=", "target": str(k)} for k in range(rows)]
    _, trainer = start("sft", f"of{rows}", many, max_steps=1)
    assert next(one for one in trainer.callback_handler.callbacks if isinstance(one, Progress)).every == every


def test_saving_takes_a_small_share_of_a_run_that_nobody_evaluates(start, monkeypatch):
    """A slow disk costs fewer checkpoints, not the pace of training: each waits for fifty times what the last took."""
    saved = []

    def note(self, model, trial):
        saved.append(self.state.global_step)
        time.sleep(0.3)
        return original(self, model, trial)

    from transformers import Trainer

    original = Trainer._save_checkpoint
    monkeypatch.setattr(Trainer, "_save_checkpoint", note)
    start("sft", "one", MANY[:64], max_steps=32)  # 8 steps an epoch: a checkpoint is due at every second step
    assert saved[0] == 2
    assert saved[-1] == 32, "the last is always kept"
    assert len(saved) <= 4


def test_a_stop_file_ends_training_at_the_next_step_with_what_there_is(start, tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "stop").touch()
    found, trainer = start("sft", "one", max_steps=3)
    assert trainer.state.global_step == 1
    AutoModelForCausalLM.from_pretrained(found.output)


def test_a_trial_run_is_a_handful_of_steps_on_ten_rows(start):
    """A5: about ten examples."""
    for recipe, rows in (("sft", SUMS), ("dpo", PAIRS)):
        folder, trainer = start(recipe, recipe, rows, {"is_smoke": True}, max_steps=3000, epochs=50, logging_steps=100)
        assert [line["step"] for line in metrics_of(folder)] == [1, 2, 3, 4]
        assert len(trainer.train_dataset) == 10


# --- resuming ---------------------------------------------------------------------------------------------------------


def losses(folder: Path) -> dict[int, float]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert len({line["step"] for line in lines}) == len(lines), "no step stands there twice"
    return {line["step"]: line["loss"] for line in lines}


def stated(base: Path, data: Path, recipe: str = "sft", **params: object) -> dict:
    return {
        "params": {**PARAMS, **OWN[recipe], **params}, "data": {"train": str(data)}, "base_model": str(base), "seed": 7
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("recipe", "method"), [("sft", "full"), ("sft", "lora"), ("dpo", "lora")])
def test_a_killed_run_goes_on_at_the_step_where_it_stopped(base, tmp_path, recipe, method):
    """E6: kill -9 in mid-training; the second start continues from state and optimizer, loss for loss."""
    rows = MANY if recipe == "sft" else [{"prompt": r["prompt"], "chosen": r["target"], "rejected": "0"} for r in MANY]
    write_jsonl(tmp_path / "rows.jsonl", rows)
    facts = stated(base, tmp_path / "rows.jsonl", recipe, max_steps=200, epochs=50, method=method, learning_rate=1e-3)
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    cut.mkdir()
    write_json(cut / "try.json", facts)
    page = [sys.executable, str(ROOT / "recipes" / recipe / "train.py")]
    argv = [*page, "--params", str(cut / "try.json"), "--out", str(cut)]
    with subprocess.Popen(argv, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120
        while not list((cut / "checkpoints").glob("checkpoint-*/complete")):
            assert process.poll() is None, "it should have been killed"
            assert time.monotonic() < deadline
            time.sleep(0.002)
        os.kill(process.pid, signal.SIGKILL)
    steps = {int(path.parent.name.split("-")[1]) for path in (cut / "checkpoints").glob("checkpoint-*/complete")}
    assert not (cut / "output" / "config.json").exists()
    broken = cut / "checkpoints" / "checkpoint-199"  # begun and never finished: no `complete` in it
    broken.mkdir()
    (broken / "trainer_state.json").write_text("{")

    done = alone(recipe, cut, facts)
    assert done.returncode == 0, done.stderr
    again = alone(recipe, whole, facts)
    assert again.returncode == 0, again.stderr
    before = [step for step in losses(cut) if step <= max(steps)]
    assert list(losses(cut)) == list(range(1, 201))
    assert len(before) == max(steps) < 200
    assert losses(cut) == losses(whole)
    name = "model.safetensors" if method == "full" else "adapter_model.safetensors"
    assert sha256_file(cut / "output" / name) == sha256_file(whole / "output" / name)
    tokens = [json.loads(line)["tokens"] for line in (cut / "metrics.jsonl").read_text().splitlines()]
    assert tokens == [json.loads(line)["tokens"] for line in (whole / "metrics.jsonl").read_text().splitlines()]


def test_a_run_that_was_killed_while_its_checkpoint_was_evaluated_has_that_done_first(start, base, tmp_path):
    """The score that was owed comes first, and the early stop counts as if nothing had happened."""
    facts = {"mid": MidFacts(every=2, patience=1, items=8)}
    folder = lay_down(tmp_path / "cut", "sft", base, None, facts, max_steps=20)
    page = [sys.executable, str(ROOT / "recipes/sft/train.py")]
    evaluator = Evaluator(folder.root, [0.6, 0.2, 0.4, 0.3])
    with subprocess.Popen(page, env=environment(folder), stdout=subprocess.DEVNULL) as process:
        while not (folder.mid_dir / "000002.want.json").exists():
            assert process.poll() is None
            time.sleep(0.005)
        evaluator.answer()
        while not (folder.mid_dir / "000004.want.json").exists():
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGKILL)
    (folder.mid_dir / "000004.want.json").unlink()  # as the supervisor does before a second start
    folder.output.mkdir(exist_ok=True)
    with evaluator.at_work():
        found, trainer = start("sft", "cut", facts=facts, max_steps=20)
    assert list(evaluator.asked) == [2, 4]
    assert trainer.state.global_step == 0, "patience was over with the score that was owed: not a step more"
    assert sha256_file(found.output / "model.safetensors") == evaluator.asked[2]["model.safetensors"]


def test_a_partial_run_is_the_beginning_of_the_whole_one(start, tmp_path):
    """§9: a share of the steps on the schedule of all of them; the full run goes on from its last checkpoint."""
    whole, _ = start("sft", "whole", MANY, max_steps=20)
    part, trainer = start("sft", "part", MANY, {"fidelity": 0.25}, max_steps=20)
    assert trainer.state.global_step == 5
    head = metrics_of(whole)[:5]
    keys = ("step", "loss", "learning_rate")
    assert [[line[key] for key in keys] for line in metrics_of(part)] == [[line[key] for key in keys] for line in head]
    AutoModelForCausalLM.from_pretrained(part.output, use_safetensors=True)
    assert (part.checkpoints / "checkpoint-5" / "complete").exists()

    full, trainer = start("sft", "part", MANY, max_steps=20)
    assert [line["step"] for line in metrics_of(full)] == list(range(1, 21))
    assert [line["loss"] for line in metrics_of(full)] == [line["loss"] for line in metrics_of(whole)]
    assert sha256_file(full.output / "model.safetensors") == sha256_file(whole.output / "model.safetensors")
    assert not full.checkpoints.exists()


def test_tokens_are_counted_on_where_a_second_start_goes_on(start):
    """A24: also those between the last line that was due and the checkpoint."""
    whole, _ = start("sft", "whole", MANY, max_steps=20, logging_steps=7)
    start("sft", "part", MANY, {"fidelity": 0.5}, max_steps=20, logging_steps=7)
    full, _ = start("sft", "part", MANY, max_steps=20, logging_steps=7)
    assert metrics_of(full)[-1]["tokens"] == metrics_of(whole)[-1]["tokens"]


# --- what cannot be ---------------------------------------------------------------------------------------------------


def test_qlora_says_what_it_needs(start):
    """On a machine without CUDA it is refused by both names, before a model is loaded."""
    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    with pytest.raises(SystemExit, match=r"method=qlora needs CUDA and bitsandbytes; missing: a CUDA GPU.*method=lora"):
        start("sft", "refused", method="qlora")


# --- several processes ------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("launch", ["torchrun", "accelerate"])
def test_two_processes_train_one_model_and_one_of_them_writes(base, tmp_path, launch):
    """Two ranks on a CPU: the page of one process, half the batch each; a mid-evaluation holds up both."""
    facts = {"mid": MidFacts(every=2, patience=2, items=8)}
    folder = lay_down(tmp_path / "two", "sft", base, MANY, facts, max_steps=20, batch_size=4)
    argv = page_argv(str(ROOT / "recipes/sft/train.py"), launch, processes=2)
    with Evaluator(folder.root, [0.2, 0.6, 0.4, 0.3]).at_work() as evaluator:
        done = subprocess.run(argv, env=environment(folder), capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    assert sorted(evaluator.asked) == [2, 4, 6, 8], "both stopped together"
    assert sha256_file(folder.output / "model.safetensors") == evaluator.asked[4]["model.safetensors"]
    assert [line["step"] for line in metrics_of(folder)] == list(range(1, 9)), "one of them writes, each step once"

    lone = lay_down(tmp_path / "one", "sft", base, MANY, max_steps=1, batch_size=8)
    page = [sys.executable, str(ROOT / "recipes/sft/train.py")]
    subprocess.run(page, env=environment(lone), capture_output=True, check=True, timeout=280)
    first, same = metrics_of(folder)[0], metrics_of(lone)[0]
    assert first["tokens"] == same["tokens"], "the two batches of four are the one of eight"
    assert first["loss"] == pytest.approx(same["loss"], rel=1e-4)
