# Every target says what it does: `make` alone lists them.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# uv installs the runtime in seconds. `make INSTALLER=pip` does without it.
INSTALLER ?= uv
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
UV := $(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python
# Bytecode is kept, whatever the environment says: tests start many processes, and each would compile every module anew.
TEST := PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate

.DEFAULT_GOAL := help
.PHONY: help install install-dev demo dev test test-all bench lint docs snapshot lock clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | awk -F'\t' '{printf "  make %-11s %s\n", $$1, $$2}'

install: $(VENV)/.installed ## Build the virtual environment from requirements.lock: all that runs the pipeline and the demo
install-dev: $(VENV)/.installed-dev ## Build it from requirements-dev.lock: also the extras, tests, linters and benchmarks

# Each lock holds uv and what builds the editable install, so that nothing is installed that has no hash.
define install
@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "topo_pipeline needs Python 3.11 or newer: make PYTHON=/path/to/python3.11")'
@echo "Installing $< into $(VENV)"
@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
@test $(INSTALLER) = pip || sed -n '/^uv==/,/[^\]$$/p' $< | $(PIP) --require-hashes --no-deps -r /dev/stdin \
	|| echo "uv could not be installed; pip takes half a minute longer"
@test $(INSTALLER) != pip && $(UV) --require-hashes --no-deps -r $< || $(PIP) --require-hashes --no-deps -r $<
@$(PIP) --no-deps --no-build-isolation --editable .
@touch $@
endef

$(VENV)/.installed: requirements.lock pyproject.toml
	$(install)

$(VENV)/.installed-dev: requirements-dev.lock pyproject.toml
	$(install)
	@touch $(VENV)/.installed

demo: install ## Materialise 60 days of a simulated workspace and print what they show
	@$(BIN)/topo-pipeline demo

dev: install ## Open Dagster's UI on port 3000 (the sandbox, or Topo where TOPO_API_KEY is set)
	@$(BIN)/topo-pipeline dev

test: install-dev ## Run the tests with the coverage gate (about five minutes on two cores)
	@$(TEST) --cov --cov-report=term-missing

test-all: install-dev ## Run them in full: every kill point, fault, place and large world, and a day of the real daemon
	@$(TEST) -m ""

bench: install-dev ## Measure what is promised and write docs/benchmarks.md (about half an hour)
	@$(BIN)/python -W ignore -m bench

lint: install-dev ## Check style and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

docs: install-dev ## Write the tables and columns into docs/metrics.md, from the .sql files
	@$(BIN)/python -m topo_pipeline.report.metrics_page docs/metrics.md

snapshot: install-dev ## Write what the code location holds into topo_pipeline_tests/definitions.yaml
	@$(BIN)/python -W ignore -m topo_pipeline_tests.snapshot

lock: install-dev ## Resolve both locks from pyproject.toml, each package at its newest version
	@$(LOCK) --upgrade --all-extras --group install --group test --group dev --group bench --output-file requirements-dev.lock pyproject.toml
	@$(LOCK) --extra sandbox --group install --constraint requirements-dev.lock --output-file requirements.lock pyproject.toml

clean: ## Remove the environment and caches (never data/ or .dagster/)
	@rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage
