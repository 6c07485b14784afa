"""The supervisor of one attempt: `python -m evo.runner.child`, the folder and the fencing token on standard input.

It waits for its turn, trains, ends every process that training left, evaluates, and writes `result.json`, always
last. Promises: no process of the attempt outlives it in the ordinary course; nothing that training wrote under the
name of a record (result, trained, eval/) survives training; the token is on disk only after training has ended.
When its controller is gone it ends the tree and writes no result: what is finished is picked up by `evo sync`.
It knows no machine learning, no database and no git, and imports only light modules: it is on the way of every run.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple, NoReturn

from evo.runner import failures, leases, proc, records
from evo.runner.failures import Verdict
from evo.runner.sandbox.opened import Openings
from evo.runner.stage import Ending, Family, MidService, Order, Pulse, run_stage

_STAGES = {"train": "training", "evaluate": "evaluating"}


class _Ended(Exception):
    """The attempt ends before or between stages. No verdict: the controller is gone, and no result is written."""

    def __init__(self, verdict: Verdict | None) -> None:
        super().__init__(verdict)
        self.verdict = verdict


class _Kept(NamedTuple):
    """Records of ops that lie within reach of the training, as they were before it."""

    job: bytes
    eval_job: bytes | None


class Supervisor:
    """One attempt, from job.json to result.json."""

    def __init__(self, folder: str, token: str, *, is_exclusive: bool) -> None:
        content = records.read_bytes(f"{folder}/{records.JOB}")
        job = records.read_record(f"{folder}/{records.JOB}")
        if content is None or job is None:
            raise ValueError(f"{folder}/{records.JOB} is no job")
        self.folder = folder
        self.token = token
        self.job: dict[str, Any] = job
        self.kept = _Kept(content, records.read_bytes(f"{folder}/{records.EVAL_JOB}"))
        self.is_exclusive = is_exclusive
        self.family = Family(folder, is_exclusive=is_exclusive)
        self.pulse = Pulse(folder, token, controller=job.get("controller"), takes_signals=is_exclusive)
        self.env: dict[str, str] = {proc.MARK: folder}
        self.leases: list[tuple[str, int]] = []
        self.train_seconds: float | None = None
        self.eval_seconds: float | None = None
        self.stage = "train" if job.get("train") else "evaluate"
        self.mid: MidService | None = None
        self.openings: Openings | None = None
        self.looked_at = self.spent = 0.0
        self.stop_left = job.get("stop_grace_s", 0.0)

    def path(self, name: str) -> str:
        return f"{self.folder}/{name}"

    def run(self) -> None:
        try:
            self.pulse.beat()
            self.show("queued")
            self.await_turn()
            verdict = self.train() if self.job.get("train") else self.trained_before()
            if verdict.outcome == "ok" and self.job.get("evaluate") and not verdict.failure:
                verdict = self.evaluate()
        except _Ended as ended:
            if ended.verdict is None:
                return
            verdict = ended.verdict
        self.write_result(verdict)

    def show(self, stage: str) -> None:
        """What `poll` and `evo status` see. It need not outlive a power cut: the process would not either."""
        record = {
            "process": proc.identity(os.getpid()),
            "stage": stage,
            "since": time.time(),
            "claim": records.claim_of(self.token),
        }
        records.write_record(self.path(records.SUPERVISOR), record, is_durable=False)

    def await_turn(self) -> None:
        """Until a slot and the GPUs are free. Leases end with the attempt, or with this process."""
        self.check(self.pulse.wait())
        if self.job.get("slots_dir"):
            self.await_lease(self.job["slots_dir"], leases.slot_names(self.job.get("slots", 1)), 1)
        if self.job.get("gpus"):
            stage = self.job.get("train") or self.job.get("evaluate") or {}
            visible = leases.visible_gpus({**os.environ, **stage.get("env", {})})
            if len(visible) < self.job["gpus"]:
                what = f"the run wants {self.job['gpus']} GPUs and {len(visible)} are visible"
                raise _Ended(Verdict("failed", "no_gpu", what))
            held = self.await_lease(leases.gpu_folder(), visible, self.job["gpus"])
            self.env["CUDA_VISIBLE_DEVICES"] = ",".join(held)

    def await_lease(self, folder: str, names: list[str], count: int) -> list[str]:
        while (held := leases.take(folder, names, count=count)) is None:
            self.check(self.pulse.wait(0.05))
        self.leases += held
        return [name for name, _ in held]

    def check(self, cause: str) -> None:
        if cause:
            raise _Ended(Verdict("killed", "aborted", "aborted") if cause == "aborted" else None)

    def order(self, name: str) -> Order:
        order = Order(**self.job[name])
        most = self.job.get("most_s")
        if most is not None and name != "mid":
            left = max(0.01, most - self.spent)
            order = order._replace(timeout_s=min(order.timeout_s or left, left))
        module = order.module if self.is_exclusive else ""  # in another program, a fork would be a copy of that
        return order._replace(env={**order.env, **self.env}, module=module)

    def run_stage(
        self, name: str, look: Callable[[], str] = str, meanwhile: Callable[[], object] = str
    ) -> tuple[Ending, str]:
        self.stage = name
        self.show(_STAGES[name])
        order = self.order(name)
        grace_s = self.job.get("grace_s", 10.0)
        ending = run_stage(order, self.family, pulse=self.pulse, grace_s=grace_s, look=look, meanwhile=meanwhile)
        self.spent += ending.seconds
        if ending.cause == "orphaned":
            raise _Ended(None)
        return ending, order.log

    def train(self) -> Verdict:
        for name in (records.RESULT, records.TRAINED):
            records.remove(self.path(name))
        kills = _memory_kills()
        if self.job.get("mid"):
            self.mid = MidService(self.folder, self.order("mid"), self.family, usual_mask=self.pulse.usual_mask)
        self.openings = Openings(self.job.get("watched", []))
        self.looked_at = time.monotonic()
        ending, log = self.run_stage("train", self.look)
        self.train_seconds = ending.seconds
        verdict = failures.judge_training(ending, log, was_memory_short=_memory_kills() > kills)
        output = self.job["run"]["output_dir"]
        if verdict.outcome == "ok" and records.is_empty_folder(output):
            if ending.cause == "stopped":
                verdict = failures.stopped_too_soon(output, log)
            elif self.job.get("no_output_is_failure", True):
                verdict = failures.no_output(output, log)
        self.restore_records()
        self.say_opened(self.openings)
        if verdict.outcome == "ok":
            record = {"token": self.token, "train_seconds": self.train_seconds}
            records.write_record(self.path(records.TRAINED), record)
            self.check(self.pulse.wait())
            if self.is_regressed():
                verdict = verdict._replace(failure="regressed")
        return verdict

    def look(self) -> str:
        """While training runs: see to the mid-evaluator, and to a wish to stop. While it waits for an answer of evo's
        own, its time to react to the wish does not run."""
        if self.mid is not None:
            self.mid.tick()
        if self.openings is not None:
            self.openings.look()
        now = time.monotonic()
        gone_by, self.looked_at = now - self.looked_at, now
        if not os.path.lexists(self.path(records.STOP)):
            return ""
        if self.mid is None or not self.mid.is_asked:
            self.stop_left -= gone_by
        return "stopped" if self.stop_left <= 0 else ""

    def is_regressed(self) -> bool:
        """Whether the evaluation is left out: the best checkpoint stands clearly below the parent, by mid-evaluation.

        One that somebody stopped is evaluated whatever it is.
        """
        if not self.job.get("skips_regressed") or os.path.lexists(self.path(records.STOP)):
            return False
        best = records.best_answer(self.path(records.MID))
        return best is not None and best.get("is_regressed") is True

    def restore_records(self) -> None:
        """Training is over and its processes are gone: what it wrote in the supervisor's and evaluator's names goes."""
        for name in (records.RESULT, records.TRAINED, records.EVAL):
            records.remove(self.path(name))
        os.mkdir(self.path(records.EVAL), 0o755)
        records.write_bytes(self.path(records.JOB), self.kept.job, is_durable=False)
        if self.kept.eval_job is not None:
            records.write_bytes(self.path(records.EVAL_JOB), self.kept.eval_job, is_durable=False)

    def say_opened(self, openings: Openings) -> None:
        """Which data files training opened; all that there were only where a sandbox bounds what it can reach."""
        seen = openings.seen()
        is_bounded = self.job.get("isolation", "none") != "none"
        record = {"files": seen.files, "complete": seen.complete and is_bounded}
        records.write_record(self.path(records.OPENED), record, is_durable=False)
        with contextlib.suppress(OSError):
            records.remove(self.path(records.SCRATCH))

    def unwatch(self) -> None:
        if self.openings is not None:
            self.openings.close()

    def trained_before(self) -> Verdict:
        """No training is ordered: the baseline, or an evaluation that is taken up again."""
        earlier = records.read_record(self.path(records.TRAINED)) or {}
        if earlier.get("token") == self.token:
            self.train_seconds = earlier.get("train_seconds")
        return Verdict("ok")

    def evaluate(self) -> Verdict:
        ending, log = self.run_stage("evaluate", meanwhile=self.unwatch)
        self.eval_seconds = ending.seconds
        return failures.judge_evaluation(ending, log)

    def write_result(self, verdict: Verdict) -> None:
        ordered = self.job.get(self.stage) or {}
        record = {
            "token": self.token,
            **verdict._asdict(),
            "stage": self.stage,
            "log": ordered.get("log", ""),
            "train_seconds": self.train_seconds,
            "eval_seconds": self.eval_seconds,
            "isolation": self.job.get("isolation", "none"),
            "ended_at": _now(),
            "schema": "evo-result/1",
        }
        records.write_record(self.path(records.RESULT), record)


def supervise(folder: str, token: str, *, is_exclusive: bool = False) -> None:
    """Run the attempt in `folder` to its end. `is_exclusive`: this process exists for nothing else."""
    supervisor = Supervisor(folder, token, is_exclusive=is_exclusive)
    try:
        supervisor.run()
    finally:
        proc.end_all(supervisor.family.members, grace_s=0.0, between=lambda: None)
        supervisor.pulse.stop()
        leases.give_back(supervisor.leases)
        if not is_exclusive:
            supervisor.show("ended")  # this process lives on


def _memory_kills() -> int:
    """How often the kernel ended a process for want of memory since boot."""
    content = b""
    try:
        with open("/proc/vmstat", "rb") as file:
            content = file.read()
    except OSError:
        return 0
    _, found, rest = content.partition(b"\noom_kill ")
    return int(rest.split(b"\n")[0]) if found else 0


def _now() -> str:
    """As `evo.clock.now`, without its imports."""
    moment = time.time()
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment)) + f".{int(moment * 1000) % 1000:03d}Z"


def main() -> NoReturn:
    """The process: own orphans, no readable memory. Standard input names the folder and, below, the token.

    Further words of the command line are modules that a stage will want; a broken one is told of by the stage.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    proc.hide_memory()
    proc.set_subreaper(True)
    os.chdir("/")
    with contextlib.suppress(ImportError):
        for module in sys.argv[2:]:
            import_module(module)
    folder, token = sys.stdin.readline().strip(), sys.stdin.readline().strip()
    if not folder or not token:
        os._exit(0)  # whoever started it had no use for it after all
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    log = os.open(f"{folder}/{records.SUPERVISOR_LOG}", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for stream in (1, 2):
        os.dup2(log, stream)
    supervise(folder, token, is_exclusive=True)
    os._exit(0)  # at once: whoever waits for the result waits for this exit


if __name__ == "__main__":
    main()
