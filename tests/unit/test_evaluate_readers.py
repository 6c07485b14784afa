"""Foreign benchmarks: what a tool's own log becomes, and the one number of an evaluate script."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from evaluating import ROWS, is_finished, job_in, last_line, lines, results_of, run

from evo.domain.job import EvalJob

HEAD = "import json, os, pathlib, sys\nlogs = pathlib.Path(os.environ['EVO_LOG_DIR'])\n"


def tool(folder: Path, script: str, **changes: object) -> EvalJob:
    """A job whose command is `script`; it knows `logs`."""
    job = job_in(folder, **{"command": "python tool.py", **changes})
    (folder / "pinned" / "tool.py").write_text(HEAD + script)
    return job


def inspect_log(given: list[dict[str, object]], **changes: object) -> str:
    """A script that writes a log with these samples where `inspect eval` would."""
    log = {"version": 2, "status": "success", "eval": {}, "samples": given} | changes
    return (
        "place = pathlib.Path(os.environ['INSPECT_LOG_DIR'])\n"
        "assert place == logs and os.environ['INSPECT_LOG_FORMAT'] == 'json'\n"
        f"(place / '2026-01-01_sums_abc.json').write_text({json.dumps(log)!r})\n"
    )


def sample(name: object, value: object, **more: object) -> dict[str, object]:
    scored = {"id": name, "epoch": 1, "scores": {"match": {"value": value, "answer": "5"}}, "error": None}
    return scored | {"output": {"completion": f"said {name}"}} | more


def harness_log(rows: list[object], name: str = "samples_sums_2026-01-01.jsonl") -> str:
    return f"(logs / 'base').mkdir()\n(logs / 'base' / {name!r}).write_text({lines(rows)!r})\n"


def doc(name: str, score: object, **more: object) -> dict[str, object]:
    row: dict[str, object] = {"doc_id": 7, "doc": {"id": name, "question": "?"}, "target": "5", "filter": "none"}
    return row | {"metrics": ["exact_match"], "exact_match": score, "filtered_resps": [f"said {name}"]} | more


def scores(job: EvalJob) -> list[object]:
    return [row["score"] for row in results_of(job)]


def test_values_of_an_inspect_log_become_scores(tmp_path):
    """§6: letters as inspect's own metrics read them, numbers, and right or wrong; other samples are passed over."""
    samples = [sample("b", 0.25), sample("zz", 99), sample("a", "C"), sample("c", False)]
    job = tool(tmp_path, inspect_log(samples), read="inspect", metric="accuracy")
    ended = run(job)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert scores(job) == [1.0, 0.25, 0.0]
    assert results_of(job)[0]["output"] == "said a"


@pytest.mark.parametrize(
    ("samples", "said"),
    [
        ([sample("a", "C"), sample("b", "C")], ["no line for", "line 3", "'c'"]),
        ([sample("a", "C"), sample("a", "C")], ["samples[1]", "samples[0] score match already"]),
        ([sample("a", "A+")], ["samples[0] score match", "'A+'", "C, P, I, N"]),
        ([sample("a", 1.5)], ["samples[0] score match", "outside the range"]),
        ([sample("a", None)], ["samples[0]", "not null"]),
        ([sample("a", {"x": 1, "y": 0})], ["2 scores", "metric.name"]),
        ([sample("a", "C", scores={})], ["has no scores"]),
        ([sample("a", "C", epoch=2)], ["epoch 2", "eval.samples"]),
        ([sample(None, "C")], ["id must be a string"]),
        (["x"], ["samples[0]", "has no id"]),
    ],
)
def test_samples_that_are_no_results_are_named(tmp_path, samples, said):
    job = tool(tmp_path, inspect_log(samples), read="inspect", metric="accuracy")
    ended = run(job)
    assert ended.returncode == 3
    for words in said:
        assert words in last_line(ended)
    assert not is_finished(job)


def test_metric_name_says_which_of_several_scorers_counts(tmp_path):
    both = {"f1": {"value": 0.5}, "grade": {"value": {"tone": 0.25, "facts": 0.75}}}
    samples = [sample(row["id"], 0, scores=both) for row in ROWS]
    for place, (metric, score) in enumerate([("f1", 0.5), ("grade.facts", 0.75)]):
        job = tool(tmp_path / str(place), inspect_log(samples), read="inspect", metric=metric)
        assert run(job).returncode == 0
        assert scores(job) == [score] * 3


@pytest.mark.parametrize(
    ("log", "said"),
    [
        ({"status": "error", "error": {"message": "out of memory"}}, "status 'error': out of memory"),
        ({"samples": [sample("a", "C", error={"message": "timeout"})]}, "could not answer"),
    ],
)
def test_what_inspect_calls_failed_is_an_error_although_its_exit_code_is_0(tmp_path, log, said):
    """§12: a failed evaluator is never replaced by a made-up number, and owes its evaluation (exit code 1, not 3)."""
    job = tool(tmp_path, inspect_log([sample("a", "C")], **log), read="inspect")
    ended = run(job)
    assert ended.returncode == 1
    assert said in last_line(ended)


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("", "left no log of inspect"),
        ("(logs / 'a.eval').write_bytes(b'PK')", "binary form"),
        ("[(logs / n).write_text('{}') for n in ('a.json', 'b.json')]", "2 logs of inspect: a.json, b.json"),
        ("(logs / 'a.json').write_text('{')", "a.json: is not JSON"),
        ("(logs / 'a.json').write_text('{\"status\": \"success\"}')", "field samples"),
    ],
)
def test_a_log_that_is_not_there_or_none_is_named(tmp_path, script, said):
    ended = run(tool(tmp_path, script, read="inspect"))
    assert ended.returncode == 3
    assert said in last_line(ended)


def test_nothing_of_a_sealed_sample_is_quoted_or_left_behind(tmp_path):
    """A3, §7: inspect keeps samples among the user's data; on sealed items that place goes with the log."""
    script = "data = pathlib.Path(os.environ['XDG_DATA_HOME']); data.mkdir(); (data / 'traces').write_text('secret')\n"
    failed = {"status": "error", "error": {"message": "secret"}}
    for place, log in enumerate([{}, failed]):
        samples = [sample("a", "secret")]
        folder = tmp_path / str(place)
        job = tool(folder, script + inspect_log(samples, **log), read="inspect", split="heldout", keep_output=False)
        ended = run(job)
        assert ended.returncode in (1, 3)
        assert "secret" not in ended.stderr
        assert [path.name for path in folder.rglob("*") if path.name in ("traces", "logs")] == []


def test_the_cache_through_which_lm_eval_reads_the_items_goes_with_the_log(tmp_path):
    """§7: sealed items are not left in the user's cache; a benchmark's own data is where it was."""
    script = "print('cache', os.environ.get('HF_DATASETS_CACHE'), file=sys.stderr)\n" + harness_log([doc("a", 1.0)])
    for place, command in enumerate(["python tool.py {items}", "python tool.py {model}"]):
        job = tool(tmp_path / str(place), script, read="lm-eval", command=command)
        said = run(job).stderr.splitlines()[0]
        assert said == (f"cache {job.out_dir}/work/0/data" if place == 0 else "cache None")
        assert not (tmp_path / str(place) / "out" / "work").exists()


def test_samples_of_lm_eval_become_scores(tmp_path):
    """§6: an item is known by the `id` of its document, else by doc_id."""
    rows = [doc("c", 1.0), doc("zz", 0.0), doc("a", 0), {**doc("b", 1.0), "doc": {"question": "?"}, "doc_id": "b"}]
    job = tool(tmp_path, harness_log(rows), read="lm-eval", metric="exact_match")
    ended = run(job)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert scores(job) == [0.0, 1.0, 1.0]
    assert results_of(job)[0]["output"] == "said a"


def test_metric_name_chooses_metric_and_filter_as_lm_eval_names_them(tmp_path):
    strict = [doc(row["id"], 0.0, filter="strict-match") for row in ROWS]
    loose = [doc(row["id"], 1.0, filter="flexible-extract") for row in ROWS]
    chosen = {"exact_match,strict-match": 0.0, "exact_match,flexible-extract": 1.0}
    for place, (metric, score) in enumerate(chosen.items()):
        job = tool(tmp_path / str(place), harness_log([*strict, *loose]), read="lm-eval", metric=metric)
        assert run(job).returncode == 0
        assert scores(job) == [score] * 3
    ended = run(tool(tmp_path / "x", harness_log([*strict, *loose]), read="lm-eval", metric="exact_match"))
    assert ended.returncode == 3
    assert "has 2 metrics" in last_line(ended)
    assert "did you mean 'exact_match,strict-match'" in last_line(ended)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([doc("a", 1.0), doc("a", 1.0)], ["line 2 field exact_match", "line 1 field exact_match already"]),
        ([doc("a", float("nan"))], ["line 1 field exact_match", "must be finite"]),
        ([doc("a", True)], ["line 1 field exact_match", "not true"]),
        ([doc("a", 1.0), {**doc("b", 0), "exact_match": [1, 2]}], ["line 2 field exact_match", "must be a number"]),
        (["{"], ["line 1", "is not JSON"]),
        ([], ["has no metrics"]),
    ],
)
def test_lines_of_lm_eval_that_are_no_results_are_named(tmp_path, rows, said):
    ended = run(tool(tmp_path, harness_log(rows), read="lm-eval", metric="exact_match"))
    assert ended.returncode == 3
    for words in said:
        assert words in last_line(ended)


def test_lm_eval_without_logged_samples_is_named(tmp_path):
    ended = run(tool(tmp_path, harness_log([{}], name="results_2026.json"), read="lm-eval"))
    assert ended.returncode == 3
    assert "--log_samples" in last_line(ended)


def test_placeholders_replace_the_contracts_own_words(tmp_path):
    """§6: a command with a placeholder is called as it stands; `${model}` is a shell's own."""
    script = (
        "rows = [json.loads(line) for line in open(sys.argv[2])]\n"
        "said = json.dumps(sys.argv[1:])\n"
        "with open(sys.argv[4], 'w') as out:\n"
        "    for row in rows: out.write(json.dumps({'id': row['id'], 'score': 1, 'output': said}) + '\\n')\n"
    )
    command = "python tool.py path={model} {items} --to {out} {logs} {ids} ${model} {other}"
    job = tool(tmp_path, script, command=command)
    ended = run(job)
    assert (ended.returncode, ended.stderr) == (0, "")
    said = json.loads(str(results_of(job)[0]["output"]))
    assert said[0] == f"path={job.model}"
    assert said[2] == "--to"
    assert said[5:] == ["a,b,c", "${model}", "{other}"]
    assert len(said) == 8


def scalar(folder: Path, script: str, **changes: object) -> EvalJob:
    """A job of three repeats whose command writes what the expression `script` gives, which may use `seed`."""
    rows = [{"id": f"repeat {k}", "prompt": f"repeat {k}"} for k in (1, 2, 3)]
    command = "python tool.py --model-path {model} --json-output-file {out} --limit -1"
    head = "seed = int(os.environ['EVO_SAMPLE_SEED'])\nassert sys.argv[1::2] == ['--model-path', '--json-output-file', "
    write = f"'--limit'] and sys.argv[6] == '-1'\npathlib.Path(sys.argv[4]).write_text({script})\n"
    wanted = {"rows": rows, "command": command, "is_scalar": True, "metric": "accuracy", "generation": {"seed": 42}}
    return tool(folder, head + write, **{**wanted, **changes})


@pytest.mark.parametrize(
    ("script", "metric"),
    [
        ("json.dumps({'accuracy': seed / 100, 'stderr': 0.01})", "accuracy"),
        ("json.dumps({'results': {'accuracy': seed / 100}})", "results.accuracy"),
        ("json.dumps({'results.accuracy': seed / 100})", "results.accuracy"),
        ("str(seed / 100)", "accuracy"),
    ],
)
def test_a_scalar_benchmark_is_called_for_each_repeat_with_a_seed_of_its_own(tmp_path, script, metric):
    """§6: a benchmark that yields one number is run R times."""
    job = scalar(tmp_path, script, metric=metric)
    ended = run(job)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert [(row["item"], row["score"]) for row in results_of(job)] == [
        ("repeat 1", 0.42), ("repeat 2", 0.43), ("repeat 3", 0.44)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("'{\"accuracy\": NaN}'", ["field accuracy", "must be finite, not nan", "call 1 of 3"]),
        ("'{\"accuracy\": 1e999}'", ["field accuracy", "must be finite, not inf"]),
        ("json.dumps({'accuracy': True})", ["field accuracy", "not true"]),
        ("json.dumps({'accuracy': '0.9'})", ["field accuracy", 'not "0.9"']),
        ("json.dumps({'accuracy': None})", ["field accuracy", "not null"]),
        ("json.dumps({'accuracy': 34.5})", ["field accuracy", "34.5 is outside the range [0.0, 1.0]"]),
        ("json.dumps({'accuracy': 0.5 if seed == 42 else 2})", ["outside the range", "call 2 of 3"]),
        ("json.dumps({'acuracy': 0.5})", ["field accuracy: is missing", "did you mean 'acuracy'"]),
        ("json.dumps([0.5])", ["field accuracy: is missing"]),
        ("'true'", ["not true"]),
        ("'0.5 '+'x'", ["is not JSON"]),
    ],
)
def test_a_number_that_is_none_is_named_by_file_and_field(tmp_path, script, said):
    """§12: NaN, inf, bool or string is never recorded as a score."""
    job = scalar(tmp_path, script)
    ended = run(job)
    assert ended.returncode == 3
    assert last_line(ended).startswith("evo: RESULT.json")
    for words in said:
        assert words in last_line(ended)
    assert not is_finished(job)


def test_a_scalar_benchmark_that_writes_nothing_is_named(tmp_path):
    ended = run(scalar(tmp_path, "''", command="python -c pass {model}"))
    assert ended.returncode == 3
    assert "wrote no RESULT.json" in last_line(ended)
