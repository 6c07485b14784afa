"""The command evaluator: what it gives the command, what it takes from it, and what it refuses, line by line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from evaluating import (
    GOOD,
    ROWS,
    answering,
    evaluator,
    grading_with,
    is_finished,
    job_in,
    last_line,
    lines,
    results_of,
    run,
)

A, B, C = GOOD


def test_results_and_summary_of_a_good_command(tmp_path):
    job = answering(tmp_path, [C, A, B])
    ended = run(job)
    assert (ended.returncode, ended.stderr) == (0, "")
    rows = results_of(job)
    assert [(row["item"], row["sample"], row["score"]) for row in rows] == [("a", 0, 1.0), ("b", 0, 0.5), ("c", 0, 0.0)]
    assert rows[1]["output"] == "five"
    assert len(rows[1]["output_hash"]) == 64
    assert "output" not in rows[0]
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert (summary["n"], summary["eval_hash"], summary["engine"]) == (3, job.eval_hash, "command")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["results.jsonl", "summary.json"]


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ([A, B], ["no line for", "line 3", "'c'"]),
        ([A], ["no line for", "line 2", "and 1 more"]),
        ([A, B, C, B], ["line 4", "'b'", "in line 2 already"]),
        ([A, {"id": "zz", "score": 1}, B, C], ["line 2", "unknown id 'zz'"]),
        ([A, B, {"id": "c", "score": "0.9"}], ["line 3", "'c'", 'not "0.9"']),
        ([A, B, {"id": "c", "score": True}], ["line 3", "not true"]),
        ([A, B, {"id": "c", "score": None}], ["line 3", "not null"]),
        ([A, B, '{"id": "c", "score": NaN}'], ["line 3", "must be finite, not nan"]),
        ([A, B, '{"id": "c", "score": 1e999}'], ["line 3", "must be finite, not inf"]),
        ([A, B, '{"id": "c", "score": 1%s}' % ("0" * 400)], ["line 3", "too large"]),
        ([A, B, {"id": "c", "score": 1.01}], ["line 3", "outside the range [0.0, 1.0]"]),
        ([A, B, {"id": "c", "score": -0.01}], ["line 3", "outside the range"]),
        ([A, B, {"id": "c"}], ["line 3", "has no score"]),
        ([A, B, {"score": 1}], ["line 3", "has no id"]),
        ([A, B, {"id": ["c"], "score": 1}], ["line 3", "id must be a string"]),
        ([A, B, {"id": "c", "score": 1, "output": 7}], ["line 3", "output must be a string"]),
        ([A, B, '{"id": "c", "score": 1, "output": "\\ud800"}'], ["line 3", "surrogate"]),
        ([A, B, "score: 1"], ["line 3", "is not JSON"]),
        ([A, "", "[1]"], ["line 3", "must be an object"]),
    ],
)
def test_results_that_are_no_results_are_refused_by_line(tmp_path, answers, said):
    """§12, A3: NaN, inf, bool or string is never recorded as a score; missing, double and unknown ids are named."""
    job = answering(tmp_path, answers)
    ended = run(job)
    assert ended.returncode == 3
    assert last_line(ended).startswith("evo: ")
    for words in said:
        assert words in last_line(ended)
    assert not is_finished(job)


def test_a_command_that_writes_nothing_is_refused(tmp_path):
    job = job_in(tmp_path, command="true")
    assert run(job).returncode == 3
    assert not is_finished(job)


@pytest.mark.parametrize(("script", "said"), [("exit 7", "exit code 7"), ("kill -9 $$", "signal 9")])
def test_a_command_that_fails_is_an_error_and_never_a_zero(tmp_path, script, said):
    """§12: a failed evaluator is not replaced by a made-up number; an earlier summary does not survive it."""
    job = answering(tmp_path, GOOD)
    assert run(job).returncode == 0
    (tmp_path / "pinned" / "answer.sh").write_text(f'cp answers.jsonl "$6"\necho trouble >&2\n{script}\n')
    ended = run(job)
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[0] == "trouble"
    assert said in last_line(ended)
    assert not is_finished(job)


@pytest.mark.parametrize(("split", "keeps", "quoted"), [("dev", True, ": no more rows"), ("heldout", False, "")])
def test_the_last_line_of_a_command_that_fails_is_quoted_but_not_of_sealed_items(tmp_path, split, keeps, quoted):
    """§7: what it says of a sealed item stays in its log."""
    job = answering(tmp_path, GOOD, split=split, keep_output=keeps)
    (tmp_path / "pinned" / "answer.sh").write_text("echo trouble >&2\necho no more rows >&2\nexit 7\n")
    with (tmp_path / "log").open("w") as log:
        log.write("earlier\n")
        log.flush()
        ended = subprocess.run(evaluator(job), stderr=log, check=False)
    assert ended.returncode == 1
    last = (tmp_path / "log").read_text().splitlines()[-1]
    assert last == f"evo: the evaluation command failed with exit code 7: sh answer.sh{quoted}"


@pytest.mark.parametrize(
    ("command", "said"),
    [("", "is empty"), ("no-such-program-here", "no-such-program-here"), ("sh 'answer", "cannot be split")],
)
def test_a_command_that_cannot_start_is_named(tmp_path, command, said):
    ended = run(job_in(tmp_path, command=command))
    assert ended.returncode == 1
    assert said in last_line(ended)
    assert "Traceback" not in ended.stderr


def test_command_runs_in_writable_copies_with_an_ordinary_environment(tmp_path):
    """A3: no key, no path of evo's and no Python detour reaches the command, and it cannot edit what is pinned."""
    script = (
        "seen = {'cwd': os.getcwd(), 'files': sorted(os.listdir()), 'python': sys.executable, 'argv': sys.argv[1::2],\n"
        "        'env': sorted(os.environ), 'mode': os.stat('.').st_mode & 0o700, 'model': os.listdir(args.model)}\n"
        "open('score.py', 'w').write('edited'); open(args.items, 'w').write('edited')\n"
        "with open(args.out, 'w') as out:\n"
        "    for item in items:\n"
        "        out.write(json.dumps({'id': item['id'], 'score': 1, 'output': json.dumps(seen)}) + '\\n')\n"
    )
    job = grading_with(tmp_path, script)
    (tmp_path / "weights" / "w.txt").write_text("w")
    (tmp_path / "pinned" / "deep").mkdir()
    (tmp_path / "pinned" / "deep" / "table.csv").write_text("1,2")
    (tmp_path / "pinned").chmod(0o555)
    secrets = {"ANTHROPIC_API_KEY": "k", "WANDB_API_KEY": "k", "EVO_JOB": "/x", "PYTHONPATH": str(tmp_path)}
    ended = run(job, **secrets, CUDA_VISIBLE_DEVICES="0", LC_ALL="C.UTF-8")
    (tmp_path / "pinned").chmod(0o755)
    assert (ended.returncode, ended.stderr) == (0, "")
    seen = json.loads(results_of(job)[0]["output"])
    assert seen["files"] == ["deep", "score.py"]
    assert seen["python"] == sys.executable
    assert seen["argv"] == ["--model", "--items", "--out"]
    assert seen["mode"] == 0o700
    assert seen["model"] == ["w.txt"]
    assert not set(secrets) & set(seen["env"])
    assert {"PATH", "CUDA_VISIBLE_DEVICES", "LC_ALL", "EVO_SAMPLE_SEED"} <= set(seen["env"])
    assert (tmp_path / "pinned" / "score.py").read_text().endswith(script)
    assert (tmp_path / "items.jsonl").read_text() == lines(ROWS)
    assert not Path(seen["cwd"]).exists()


def test_samples_are_as_many_calls_each_with_its_seed(tmp_path):
    script = (
        "seed = int(os.environ['EVO_SAMPLE_SEED'])\n"
        "with open(args.out, 'w') as out:\n"
        "    for item in items: out.write(json.dumps({'id': item['id'], 'score': (seed - 40) / 10}) + '\\n')\n"
    )
    job = grading_with(tmp_path, script, generation={"samples": 3, "seed": 42})
    assert run(job).returncode == 0
    rows = results_of(job)
    assert [row["sample"] for row in rows] == [0, 1, 2] * 3
    assert [row["score"] for row in rows[:3]] == [0.2, 0.3, 0.4]
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["n"] == len(rows)


def test_forbidden_output_gets_the_worst_score_whatever_the_command_says(tmp_path):
    """A3: a grader's own number does not lift a forbidden output."""
    answers = [A, {"id": "b", "score": 1, "output": "please rm -rf /"}, C]
    job = answering(tmp_path, answers, forbidden=[r"rm\s+-rf"], worst=0.0)
    assert run(job).returncode == 0
    row = results_of(job)[1]
    assert (row["score"], row["is_forbidden"]) == (0.0, True)


@pytest.mark.parametrize("answers", [[A, B], [A, B, {"id": "c", "score": 5, "output": "leak"}], [A, B, C, B]])
def test_no_message_names_a_sealed_item(tmp_path, answers):
    """A3, §7: before release no log holds a held-out item."""
    rows = [{"id": f"secret-{row['id']}", "prompt": "2+3=", "target": "5"} for row in GOOD]
    named = [row | {"id": f"secret-{row['id']}"} for row in answers]
    ended = run(answering(tmp_path, named, rows=rows, split="heldout", keep_output=False))
    assert ended.returncode == 3
    assert "line" in last_line(ended)
    assert "secret" not in ended.stderr
    assert "leak" not in ended.stderr


def test_sealed_outputs_are_stored_as_hashes_alone(tmp_path):
    job = answering(tmp_path, GOOD, split="vault", keep_output=False)
    assert run(job).returncode == 0
    row = results_of(job)[1]
    assert "output" not in row
    assert len(row["output_hash"]) == 64
    assert (tmp_path / "out" / "results.jsonl").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{"id": "a", "prompt": "x"}, {"id": "b", "prompt": 3}], ["line 2", "prompt"]),
        ([{"id": "a", "prompt": "x"}, {"id": "a", "prompt": "y"}], ["line 2", "double id 'a'"]),
        ([{"id": "a", "prompt": "x"}, "{"], ["line 2", "is not JSON"]),
        ([], ["holds no items"]),
    ],
)
def test_items_that_are_no_items_are_named_by_line(tmp_path, rows, said):
    job = job_in(tmp_path)
    (tmp_path / "items.jsonl").write_text(lines(rows))
    ended = run(job)
    assert ended.returncode == 1
    for words in said:
        assert words in last_line(ended)


def test_line_separators_inside_texts_do_not_break_lines(tmp_path):
    odd = "a\u2028b\x85c\x1dd é 🙂"
    job = answering(tmp_path, [A, {"id": "b", "score": 1, "output": odd}, C])
    (tmp_path / "items.jsonl").write_text(
        "".join(json.dumps({"id": row["id"], "prompt": odd}, ensure_ascii=False) + "\n" for row in GOOD)
    )
    assert run(job).returncode == 0
    assert results_of(job)[1]["output"] == odd


def test_missing_weights_and_bugs_end_with_one_line(tmp_path):
    ended = run(answering(tmp_path, GOOD, model=str(tmp_path / "nowhere")))
    assert ended.returncode == 1
    assert "nowhere does not exist" in last_line(ended)
    assert "Traceback" not in ended.stderr
    ended = run(answering(tmp_path, GOOD, generation={"samples": "three"}))
    assert ended.returncode == 1
    assert "Traceback" in ended.stderr
    assert last_line(ended).startswith("evo: the evaluation broke: TypeError")


def test_command_evaluation_imports_nothing_heavy():
    """§13: the evaluator's start is part of what `evo run` costs over the bare command."""
    heavy = "numpy pandas pydantic torch annotated_types typer rich sqlite3 importlib.metadata psutil jinja2 asyncio"
    code = "import sys, evo.evaluate.process, evo.evaluate.backends.command;"
    code += f"print(set({heavy.split()}) & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
