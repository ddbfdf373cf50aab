PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SANITIZED := build/sanitize
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
export OMP_NUM_THREADS ?= 1
# The theme prints news before every build; the pins decide when its versions change.
export NO_MKDOCS_2_WARNING := 1

.DEFAULT_GOAL := help
.PHONY: faults gpu help demo test coverage robustness sanitize check format docs clean

help:  ## say what each target does
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | expand -t 12

demo: $(VENV)/.run  ## profile SAFormer on the bundled digits and show what it costs
	$(BIN)/snnprof profile saformer

test: $(VENV)/.dev  ## run the tests
	$(BIN)/python -m pytest --numprocesses 2 --quiet

coverage: $(VENV)/.dev  ## run the tests and list the lines they leave out
	$(BIN)/python -m pytest --numprocesses 2 --quiet --cov=snnprof --cov-report=term-missing:skip-covered --cov-fail-under=95

faults: $(VENV)/.dev  ## kill and interrupt runs, fail their saves, edit what they resume; writes into docs/robustness.md
	$(BIN)/python benchmarks/faults.py --markdown docs/robustness.md

robustness: $(VENV)/.dev  ## try 2,500 damaged and hostile inputs; writes docs/robustness.md
	$(BIN)/python benchmarks/robustness.py --markdown docs/robustness.md

# Where there is no environment yet, by the PyTorch that $(PYTHON) has: one for this machine's GPU cannot be guessed.
gpu:  ## on a machine with a CUDA device: are the counts right, what do they cost? writes gpu.md, takes five minutes
	$(firstword $(wildcard $(BIN)/python) $(PYTHON)) benchmarks/gpu.py --markdown gpu.md

# The sanitizers' library must be the first one loaded, and libstdc++ with it: PyTorch throws exceptions. Python itself
# keeps memory until it exits, which is no leak.
sanitize: $(VENV)/.dev  ## run the compiled reader's tests under the address and undefined-behaviour sanitizers
	rm -rf $(SANITIZED)
	SNNPROF_SANITIZE=1 $(BIN)/python setup.py --quiet build --build-base $(SANITIZED) --build-lib $(SANITIZED)/lib
	LD_PRELOAD="$$($(CC) -print-file-name=libasan.so) $$($(CC) -print-file-name=libstdc++.so)" \
	ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 PYTHONPATH=$(SANITIZED)/lib SNNPROF_SANITIZE=1 \
	$(BIN)/pytest --quiet -p no:cacheprovider tests/record/test_reading.py tests/record/test_hostile_reads.py

check: $(VENV)/.dev  ## lint, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.dev  ## put the code into its one format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.docs  ## build the documentation as a site, into build/site; a warning is an error
	$(BIN)/python -m mkdocs build --strict

clean:  ## remove everything that was built
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis snnprof/record/read/*.so

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: $(VENV)/bin/python pyproject.toml setup.py snnprof/record/read/_reader.c constraints.txt
	$(PIP) --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.run
	$(PIP) --editable '.[dev]'
	@touch $@

$(VENV)/.docs: $(VENV)/.run
	$(PIP) --editable '.[docs]'
	@touch $@
