"""A warm server around a stand-in that speaks vLLM's wire format, ended whatever a test did."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import standin_vllm
from evaluating import job_in
from servers import GREEDY, ROWS, end
from tiny_llama import save_model

from evo.domain.job import EvalJob, ServerFacts
from evo.domain.service import ServiceFolder


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return save_model(tmp_path_factory.mktemp("models") / "base", seed=1)


@pytest.fixture
def python(tmp_path) -> Path:
    return standin_vllm.install(tmp_path / "env")


@pytest.fixture
def facts(tmp_path, base, python) -> Iterator[ServerFacts]:
    made = ServerFacts(str(tmp_path / "server"), str(python), str(base), "basehash", idle_s=60.0)
    yield made
    end(ServiceFolder(tmp_path / "server"))
    for folder in tmp_path.glob("server-*"):
        end(ServiceFolder(folder))


@pytest.fixture
def place(facts) -> ServiceFolder:
    return ServiceFolder(Path(facts.folder))


@pytest.fixture
def job(tmp_path, base, facts) -> EvalJob:
    job = job_in(tmp_path, rows=ROWS, backend="vllm", model=str(base), base_model=str(base), server=facts)
    return replace(job, generation=GREEDY, device="cpu")
