"""`evo search serve`: the search for simulators and other tools, one JSON reply for each JSON line.

Invariant: every request gets exactly one reply; a request that is wrong gets `{"error": …}`, changes nothing, and the
loop goes on. Numbers are finite, and results are taken to be direction-adjusted and in units already.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from typing import Annotated, Any, Literal, TextIO, assert_never, cast, get_args

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from evo.config import GateConfig, SearchConfig
from evo.errors import EvoError, NotFound, Refused, UsageError, nearest
from evo.gate.decision import GateRules, Mode
from evo.ops.search_session import Methods, SearchSession, World
from evo.registry import load
from evo.search.posterior import Prior
from evo.search.ranking import UcbRules

LARGEST = 1e100
"""Beyond this a square is no number any more."""
Result = Annotated[float, Field(ge=-LARGEST, le=LARGEST)]
Results = Annotated[list[Result], Field(min_length=1)]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class Root(_Request):
    id: str
    dev: Results


class Init(_Request):
    op: Literal["init"]
    seed: int
    budget: Annotated[int, Field(ge=0)] | None = None
    workers: Annotated[int, Field(ge=1)] | None = None
    n_dev: Annotated[int, Field(ge=1)]
    n_heldout: Annotated[int, Field(ge=0)]
    sigma_run: Annotated[float, Field(ge=0, le=LARGEST)]
    root: Root


class Ask(_Request):
    op: Literal["ask"]
    k: Annotated[int, Field(ge=1, le=100_000)]


class Tell(_Request):
    op: Literal["tell"]
    id: str
    parent: str
    dev: Results | None = None
    cost: Annotated[float, Field(ge=0, le=LARGEST)] | None = None
    failed: bool = False


class Gate(_Request):
    op: Literal["gate"]
    id: str
    ref: str
    child: Results
    parent: Results


class Best(_Request):
    op: Literal["best"]


Request = Annotated[Init | Ask | Tell | Gate | Best, Field(discriminator="op")]
_REQUEST: TypeAdapter[Init | Ask | Tell | Gate | Best] = TypeAdapter(Request)


class Door:
    """One conversation: a session once `init` was said; a further `init` begins anew."""

    def __init__(self, *, policy: str, gate: str) -> None:
        if gate not in get_args(Mode):
            raise NotFound(f"no gate named {gate!r}", hint=nearest(gate, get_args(Mode)))
        search, rules = SearchConfig(), GateConfig()
        self._methods = Methods(
            policy=load("policy", policy)(),
            prior=Prior(search.mu, search.tau),
            ucb=UcbRules(search.beta, search.kappa, search.kappa_cost),
            gate=GateRules(cast(Mode, gate), rules.alpha, rules.min_gain, rules.looks),
        )
        self._session: SearchSession | None = None

    def answer(self, line: str) -> dict[str, Any]:
        """The reply to one request."""
        try:
            request = _REQUEST.validate_json(line)
            if isinstance(request, Init):
                self._session = self._begin(request)
                return {"ok": True}
            if self._session is None:
                raise Refused("nothing was begun", hint='say {"op": "init", …} first')
            return _carry_out(self._session, request)
        except ValidationError as problem:
            return {"error": _in_words(problem)}
        except EvoError as problem:
            return {"error": problem.message + (f" ({problem.hint})" if problem.hint else "")}

    def _begin(self, request: Init) -> SearchSession:
        if len(request.root.dev) != request.n_dev:
            raise UsageError(f"root.dev has {len(request.root.dev)} results, n_dev is {request.n_dev}")
        world = World(
            seed=request.seed,
            budget=request.budget,
            n_heldout=request.n_heldout,
            sigma_run=request.sigma_run,
            root=request.root.id,
            root_dev=request.root.dev,
        )
        return SearchSession(world, self._methods)


def serve(stdin: Iterable[str], stdout: TextIO, *, policy: str, gate: str) -> None:
    """Answer until stdin ends. NotFound names the nearest policy or gate."""
    door = Door(policy=policy, gate=gate)
    for line in stdin:
        if line.strip():
            stdout.write(json.dumps(door.answer(line), allow_nan=False) + "\n")
            stdout.flush()


def main() -> None:
    """`python -m evo.ops.search_serve --policy NAME --gate MODE`."""
    parser = argparse.ArgumentParser(prog="evo search serve", description=__doc__)
    parser.add_argument("--policy", default=SearchConfig().policy)
    parser.add_argument("--gate", default=GateConfig().mode)
    options = parser.parse_args()
    sys.stdin.reconfigure(encoding="utf-8", errors="replace")  # type: ignore[union-attr]
    try:
        serve(sys.stdin, sys.stdout, policy=options.policy, gate=options.gate)
    except EvoError as problem:
        print(f"{problem.message}: {problem.hint}", file=sys.stderr)  # noqa: T201
        sys.exit(problem.exit_code)


def _carry_out(session: SearchSession, request: Ask | Tell | Gate | Best) -> dict[str, Any]:
    match request:
        case Ask():
            return {"parents": session.ask(request.k)}
        case Tell():
            return {"certify": _told(session, request)}
        case Gate():
            decision = session.decide(request.id, request.ref, request.child, request.parent)
            return {"pass": decision.passed, "p": decision.p}
        case Best():
            return {"id": session.best()}
    assert_never(request)


def _told(session: SearchSession, request: Tell) -> list[str] | None:
    if request.failed:
        if request.dev is not None:
            raise UsageError(f"{request.id} failed and has dev results", hint="give one or the other")
        session.fail(request.id, request.parent)
        return None
    if request.dev is None:
        raise UsageError(f"{request.id} has no dev results", hint='a run without them is told with "failed": true')
    question = session.tell(request.id, request.parent, request.dev, cost=request.cost)
    return [question.candidate, question.reference] if question else None


def _in_words(problem: ValidationError) -> str:
    """The first thing that is wrong, and where."""
    first = problem.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg']}" if where else first["msg"]


if __name__ == "__main__":
    main()
