# Short names for the commands of this project. `make` lists them.
#
# Nothing needs to be installed but Python 3.11 or newer, git and make: uv is put into .uv/, everything else into .venv/.
# Settings for uv and pip are taken from the environment and their own files, as always.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

UV_VERSION := 0.13.9
PYTHON3 ?= python3
UV := .uv/bin/uv
BIN := .venv/bin
ARGS ?=

# Where this is set, every process compiles all that it imports anew at its start, and nothing is ever kept of it.
unexport PYTHONDONTWRITEBYTECODE

PYTEST_ARGS ?=
# Many tests wait for servers and time-outs more than they compute.
TEST_PROCESSES ?= 3

.PHONY: help demo up down status doctor test check lint format types imports proto proto-release pytest coverage guard hooks bench install clean

help: ## list what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-14s %s\n", $$1, $$2 }'
	@echo '  Options for a command: make demo ARGS="--rate max"'

demo: .venv/.installed ## install everything and run the main job: models swapped under a stream, in a terminal view
	@$(BIN)/sluice demo $(ARGS)

up down status doctor: .venv/.installed
	@$(BIN)/sluice $@ $(ARGS)

up: ## start the local stack: Kafka, Redis, the control API and a worker
down: ## stop the local stack; its data stay
status: ## say what of the local stack runs
doctor: ## say what is missing or wrong on this machine, and how to mend it

test: check pytest ## install everything and run every check and all tests

check: lint types imports proto ## run the checks that need no server

lint: .venv/.installed-dev ## check style
	@echo '==> ruff'
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check

types: .venv/.installed-dev ## check types
	@echo '==> mypy'
	@$(BIN)/mypy

imports: .venv/.installed-dev ## check which package may import which
	@echo '==> import-linter'
	@$(BIN)/lint-imports

proto: .venv/.installed-dev ## check the wire schema: style, compatibility with the released one, generated code
	@echo '==> buf'
	@$(BIN)/buf lint proto
	@$(BIN)/buf breaking proto --against proto/image.binpb
	@$(BIN)/python proto/generate.py --check

proto-release: .venv/.installed-dev ## make the present wire schema the one that later ones must be compatible with
	@$(BIN)/buf build proto -o proto/image.binpb

pytest: .venv/.installed-dev ## run all tests
	@echo '==> pytest (real Kafka, Redis and workers; some minutes)'
	@$(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS) || { \
	  status=$$?; test $$status -eq 1 || exit $$status; \
	  echo '==> pytest again: what failed while $(TEST_PROCESSES) processes shared the machine, now alone'; \
	  $(BIN)/python -m pytest --last-failed --last-failed-no-failures none $(PYTEST_ARGS); }

coverage: .venv/.installed-dev ## run the tests that need no other process, and say which lines they reach
	@$(BIN)/python -m pytest --cov --cov-report=term-missing:skip-covered tests/unit tests/property tests/contract $(PYTEST_ARGS)

hooks: .venv/.installed-dev ## check before each commit from now on
	@$(BIN)/prek install

guard: .venv/.installed-dev ## fail if the hot path costs more than the committed baseline
	@echo '==> guard of the hot path'
	@$(BIN)/python -m benchmarks.guard

bench: .venv/.installed-dev ## measure: CPU time a record, rates, latency, faults, beside other systems
	@$(BIN)/python -m benchmarks $(ARGS)

format: .venv/.installed-dev ## bring the sources into shape
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

install: .venv/.installed-dev ## only install

clean: ## remove what was installed and cached here; the data of a local stack stay
	rm -rf .uv .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage htmlcov dist build

.uv/.installed-$(UV_VERSION): .ci/get_uv.py
	@$(PYTHON3) .ci/get_uv.py .uv $(UV_VERSION)
	@touch $@

# A Python in the range of the project is found by uv, or installed by it.
.venv/bin/python: | .uv/.installed-$(UV_VERSION)
	@$(UV) python find --quiet >/dev/null 2>&1 || \
	  echo 'No Python 3.11 to 3.13 is installed here: uv installs one for this project.'
	@$(UV) venv --quiet --allow-existing .venv

.venv/.installed: pyproject.toml uv.lock | .venv/bin/python
	@echo 'Installing what the project needs to run into .venv (the first time, some hundred megabytes are downloaded)'
	@$(UV) sync --frozen --no-dev --inexact
	@touch $@

.venv/.installed-dev: pyproject.toml uv.lock | .venv/bin/python
	@echo 'Installing the project with its tools into .venv (the first time, some hundred megabytes are downloaded)'
	@$(UV) sync --frozen
	@touch $@ .venv/.installed
