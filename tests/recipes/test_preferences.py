"""The pages that learn from preferences: what they compare, what they mask, where they start, what they leave."""

from __future__ import annotations

import math
import re

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("trl")

from paging import PAIRS, metrics_of  # noqa: E402
from peft import PeftModel  # noqa: E402
from safetensors.torch import load_file  # noqa: E402
from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: E402

from evo.files import sha256_file  # noqa: E402

PAGES = ("dpo", "kto", "orpo")
COMPARING = ("dpo", "kto")
SYSTEM = "<|system|>Add.<|end|><|user|>10+1=<|end|><|assistant|>"

pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


def answers(trainer) -> dict[str, list[tuple[str, str]]]:
    """What the trainer's own collator makes of its data: (prompt, what is learned of it) for each kind of answer."""
    tokenizer = trainer.processing_class
    batch = trainer.data_collator([trainer.train_dataset[k] for k in range(len(trainer.train_dataset))])
    if "chosen_labels" in batch:  # ORPO
        ids = {kind: (batch[f"{kind}_input_ids"], batch[f"{kind}_labels"] != -100) for kind in ("chosen", "rejected")}
    else:
        ids = {"all": (batch["input_ids"], batch["completion_mask"].bool())}
    read = {}
    for kind, (rows, mask) in ids.items():
        pairs = zip(rows, mask, strict=True)
        read[kind] = [
            (tokenizer.decode(row[: int(m.nonzero()[0])]).replace("<|pad|>", ""), tokenizer.decode(row[m]))
            for row, m in pairs
        ]
    return read


@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize("recipe", PAGES)
def test_a_page_moves_the_weights_and_says_how(start, base, recipe, method):
    """A24: loss, rate, gradient, tokens and their pace are logged, with what the technique measures."""
    folder, _ = start(recipe, "one", method=method)
    lines = metrics_of(folder)
    assert [line["step"] for line in lines] == [1, 2, 3]
    common = {"loss", "learning_rate", "grad_norm", "epoch", "tokens", "tokens_per_second", "at"}
    assert common | {"rewards/chosen", "rewards/rejected", "rewards/margins"} <= set(lines[0])
    assert all(math.isfinite(value) for line in lines for name, value in line.items() if name != "at")
    assert lines[0]["tokens"] < lines[1]["tokens"] < lines[2]["tokens"]
    assert not [path for path in folder.output.iterdir() if path.suffix in (".bin", ".pt", ".pth", ".pkl")], "no pickle"
    if method == "lora":
        PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), folder.output)
        moved = load_file(folder.output / "adapter_model.safetensors")
        assert all(value.abs().sum() > 0 for name, value in moved.items() if "lora_B" in name)
    else:
        AutoModelForCausalLM.from_pretrained(folder.output, use_safetensors=True)
        assert sha256_file(folder.output / "model.safetensors") != sha256_file(base / "model.safetensors")


@pytest.mark.parametrize("recipe", PAGES)
def test_only_answers_count_and_the_prompt_is_the_evaluations(start, base, recipe):
    """A30: loss on assistant tokens only, in the one template and with the system prompt of the evaluation."""
    own = {"messages": [{"role": "system", "content": "Own."}, {"role": "user", "content": "1+1="}]}
    rows = [PAIRS[0], {**own, "chosen": "2", "rejected": "3"}]
    _, trainer = start(recipe, "masked", rows, {"system_prompt": "Add."}, max_steps=1)
    tokenizer = AutoTokenizer.from_pretrained(base)
    asked = [{"role": "system", "content": "Add."}, {"role": "user", "content": "10+1="}]
    assert tokenizer.apply_chat_template(asked, add_generation_prompt=True, tokenize=False) == SYSTEM
    kept = "<|system|>Own.<|end|><|user|>1+1=<|end|><|assistant|>"
    read = answers(trainer)
    everything = {pair for pairs in read.values() for pair in pairs}
    assert everything == {(SYSTEM, "11<|end|>"), (SYSTEM, "17<|end|>"), (kept, "2<|end|>"), (kept, "3<|end|>")}
    if "chosen" in read:
        assert set(read["chosen"]) == {(SYSTEM, "11<|end|>"), (kept, "2<|end|>")}


@pytest.mark.parametrize("recipe", COMPARING)
@pytest.mark.parametrize("kind", ["full weights", "a new adapter", "a continued adapter", "an adapter merged first"])
def test_what_is_compared_with_is_where_the_run_starts(start, base, recipe, kind):
    """The reference is the parent, not the base model: at the first step nothing has moved away from it."""
    method = "full" if kind == "full weights" else "lora"
    parent, _ = start(recipe, "parent", method=method, learning_rate=5e-2)
    facts = {"seed_artifact": str(parent.output), "init_from": "parent"}
    changed = {"lora_rank": 2} if kind == "an adapter merged first" else {}
    facts = {} if kind == "a new adapter" else facts
    child, trainer = start(recipe, "child", facts=facts, method=method, learning_rate=5e-2, **changed)
    first, *later = metrics_of(child)
    assert first["rewards/chosen"] == pytest.approx(0, abs=1e-4)
    assert first["rewards/rejected"] == pytest.approx(0, abs=1e-4)
    assert max(abs(line["rewards/chosen"]) for line in later) > 1e-3, "and then it does"
    if trainer.ref_model is not None:
        start_weights = load_file(parent.output / "model.safetensors")
        frozen = dict(trainer.ref_model.named_parameters())
        assert all(torch.equal(frozen[name], value) for name, value in start_weights.items())
    assert not [path for path in child.output.iterdir() if path.is_dir()], "the reference is no part of the output"


def test_without_its_weight_dpo_has_no_likelihood_term(start):
    plain, _ = start("dpo", "plain", sft_weight=0.0)
    assert metrics_of(plain)[0]["loss"] == pytest.approx(math.log(2), abs=1e-5)
    anchored, _ = start("dpo", "anchored", sft_weight=2.0)
    light, _ = start("dpo", "light", sft_weight=1.0)
    heavy = metrics_of(anchored)[0]["loss"] - math.log(2)
    assert heavy == pytest.approx(2 * (metrics_of(light)[0]["loss"] - math.log(2)), rel=1e-4)


def test_a_pair_is_a_good_and_a_bad_answer_in_an_order_of_the_seed(start):
    rows = [*PAIRS, {"prompt": "3+3=", "completion": "6", "label": True}]
    orders = []
    for name, seed in (("one", 7), ("again", 7), ("other", 8)):
        _, trainer = start("kto", name, rows, {"seed": seed}, max_steps=1)
        seen = [
            (row["prompt"][0]["content"], row["completion"][0]["content"], row["label"])
            for row in trainer.train_dataset
        ]
        orders.append(seen)
    assert len(orders[0]) == 65
    assert {("10+1=", "11", True), ("10+1=", "17", False), ("3+3=", "6", True)} <= set(orders[0])
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0]) == sorted(orders[2]) != orders[0]
    paired = [a[0] == b[0] for a, b in zip(orders[0][::2], orders[0][1::2], strict=False)]
    assert not all(paired), "a row is paired with its neighbour's answer, which must not be its own pair's"


def test_good_and_bad_answers_weigh_what_the_parameters_say(start):
    losses = [
        metrics_of(start("kto", f"w{k}", max_steps=1, desirable_weight=good, undesirable_weight=bad)[0])[0]["loss"]
        for k, (good, bad) in enumerate([(1.0, 1.0), (3.0, 1.0), (1.0, 3.0)])
    ]
    assert losses[1] + losses[2] == pytest.approx(4 * losses[0], rel=1e-5), "each of the two is counted three times"


@pytest.mark.parametrize(
    ("recipe", "row", "says"),
    [
        ("dpo", {"prompt": "1+1=", "target": "2"}, r"row 2: has no 'chosen'; this recipe learns from chosen, rejected"),
        ("orpo", {"prompt": "1+1=", "chosen": "2"}, r"row 2: has no 'rejected'"),
        ("kto", {"prompt": "1+1=", "completion": "2"}, r'neither \{"chosen", "rejected"\} nor \{"completion", "label'),
    ],
)
def test_a_row_without_a_preference_is_named(start, recipe, row, says):
    with pytest.raises(SystemExit) as refused:
        start(recipe, "refused", [PAIRS[0], row])
    assert re.search(says, str(refused.value))
