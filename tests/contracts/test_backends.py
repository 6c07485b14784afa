"""The contract of `evo.evaluate.backends.base.Backend`, over every member of the family."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import standin_vllm
from evaluating import ROWS, job_in, results_of
from servers import end
from tiny_llama import save_model

from evo.domain.item import parse_item
from evo.domain.job import EvalJob, ServerFacts
from evo.domain.service import ServiceFolder
from evo.errors import EvoError
from evo.evaluate.process import evaluate
from evo.evaluate.weights import weights_hash
from evo.registry import TABLES, load

ITEMS = [parse_item(row) for row in ROWS]
SAMPLED = {"max_new_tokens": 6, "batch_size": 2, "samples": 2, "temperature": 1.0, "seed": 5}
SCRIPT = """
while read -r line; do
  id=$(echo "$line" | cut -d'"' -f4)
  echo "{\\"id\\": \\"$id\\", \\"score\\": 0.5, \\"output\\": \\"$id $EVO_SAMPLE_SEED\\"}"
done < "$4" > "$6"
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return save_model(tmp_path_factory.mktemp("models") / "base", seed=2)


@pytest.fixture(params=sorted(TABLES["backend"]))
def job(request, tmp_path, model) -> Iterator[EvalJob]:
    job = job_in(tmp_path, backend=request.param, model=str(model), generation=SAMPLED, device="cpu")
    (tmp_path / "pinned" / "answer.sh").write_text(SCRIPT)
    Path(job.out_dir).mkdir()
    if job.backend == "command":
        yield job
        return
    python = standin_vllm.install(tmp_path / "env")
    server = ServerFacts(str(tmp_path / "server"), str(python), str(model), "pinned")
    yield replace(job, base_model=str(model), server=server)
    end(ServiceFolder(tmp_path / "server"))


def test_one_finite_result_in_range_for_each_item_and_sample(job):
    results = list(load("backend", job.backend)(job).results(ITEMS))
    assert sorted((result.item, result.sample) for result in results) == [
        (item.id, sample) for item in ITEMS for sample in range(2)
    ]
    for result in results:
        assert type(result.score) is float
        assert math.isfinite(result.score)
        assert 0.0 <= result.score <= 1.0


def test_the_same_job_has_the_same_results(job):
    evaluate(job)
    first = (Path(job.out_dir) / "results.jsonl").read_bytes()
    evaluate(job)
    assert (Path(job.out_dir) / "results.jsonl").read_bytes() == first


def test_results_are_in_the_order_of_the_items_and_bound_to_the_weights(job, model):
    summary = evaluate(job)
    assert [(row["item"], row["sample"]) for row in results_of(job)] == [
        (row["id"], sample) for row in ROWS for sample in range(2)
    ]
    assert (summary.n, summary.weights_hash) == (6, weights_hash(model))


def test_sealed_results_hold_the_same_hashes_and_no_output(job):
    evaluate(job)
    open_rows = results_of(job)
    evaluate(replace(job, split="heldout", keep_output=False))
    sealed_rows = results_of(job)
    assert all("output" in row for row in open_rows)
    assert not any("output" in row for row in sealed_rows)
    assert [row["output_hash"] for row in sealed_rows] == [row["output_hash"] for row in open_rows]


def test_forbidden_outputs_are_worst(job):
    evaluate(replace(job, forbidden=["(?s).*"], low=-1.0, worst=-1.0))
    assert {(row["score"], row["is_forbidden"]) for row in results_of(job)} == {(-1.0, True)}


def test_trouble_is_an_error_and_leaves_no_summary(job, tmp_path):
    """§7: infrastructure trouble is an error, never a zero."""
    evaluate(job)
    (tmp_path / "pinned" / "answer.sh").write_text("exit 1")
    (tmp_path / "empty").mkdir()
    with pytest.raises(EvoError):
        evaluate(replace(job, model=str(tmp_path / "empty")))
    assert not (Path(job.out_dir) / "summary.json").exists()


def test_a_further_suite_is_scored_beside_as_it_would_be_alone(job, tmp_path):
    """B20: a guard's results are those of an evaluation of its own; one that fails takes nothing from the score."""
    greedy = job.generation | {"temperature": 0.0}
    alone = replace(job, generation=greedy, out_dir=str(tmp_path / "alone"), eval_hash="guard")
    evaluate(alone)
    beside = replace(alone, out_dir=str(tmp_path / "out" / "guards" / "talk"))
    broken = replace(alone, out_dir=str(tmp_path / "out" / "guards" / "broken"), items=str(tmp_path / "nowhere"))
    evaluate(job)
    plain = results_of(job)
    evaluate(replace(job, suites=[broken, beside]))
    assert results_of(job) == plain
    assert results_of(beside) == results_of(alone)
    assert not (tmp_path / "out" / "guards" / "broken" / "summary.json").exists()


def test_building_loads_nothing(job, tmp_path):
    load("backend", job.backend)(replace(job, model=str(tmp_path / "nowhere")))
