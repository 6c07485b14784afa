# make demo   a tree of real training runs in ./demo, on this machine, offline
# make test   the test suite without what is marked slow
# make test-vllm  tests against a real vLLM server (`make vllm-env` installs one)
# make check  format, lint, types, import ranks, docs

VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
# the tests start evo some two thousand times: compile it once; worksteal keeps a module with its shared workspace
PYTEST := PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist worksteal

.PHONY: demo test test-slow test-vllm vllm-env check docs clean

demo: $(VENV)/.installed
	$(BIN)/evo demo demo

test: $(VENV)/.installed-dev
	$(PYTEST) -m "not slow and not vllm"

test-slow: $(VENV)/.installed-dev
	$(PYTEST) -m "slow and not vllm"

# a real inference server on the demo's model; -rs names what is skipped where vLLM is not installed
test-vllm: $(VENV)/.installed-dev
	EVO_VLLM_PYTHON=$${EVO_VLLM_PYTHON:-$(abspath $(VENV)-vllm)/bin/python} OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -rs -m vllm

# vLLM in an environment of its own, as evo speaks to it; on a CPU, 3.5 GB and three minutes
vllm-env: $(VENV)-vllm/.installed
$(VENV)-vllm/.installed: .ci/vllm-env constraints.txt
	.ci/vllm-env $(VENV)-vllm $(PYTHON)
	touch $@

check: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/cog --check README.md

docs: $(VENV)/.installed-dev
	$(BIN)/cog -r README.md

# torch comes first and by its exact version: a range would bring gigabytes of CUDA to a CPU machine
$(VENV)/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check "$$(grep '^torch==' constraints.txt)"
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[train,math,data]'
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) $(VENV)-vllm demo dist build
