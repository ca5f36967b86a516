# Every target says what it does: `make` alone lists them.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo dev test bench lint docs snapshot lock clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | awk -F'\t' '{printf "  make %-8s %s\n", $$1, $$2}'

install: $(STAMP) ## Build the virtual environment from requirements.lock

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "topo_pipeline needs Python 3.11 or newer: make PYTHON=/path/to/python3.11")'
	@echo "Installing into $(VENV) (about a minute the first time)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: install ## Materialise 60 days of a simulated workspace and print what they show
	@$(BIN)/topo-pipeline demo

dev: install ## Open Dagster's UI on port 3000 (the sandbox, or Topo where TOPO_API_KEY is set)
	@$(BIN)/topo-pipeline dev

test: install ## Run the tests with the coverage gate
	@$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder --cov --cov-report=term-missing

bench: install ## Measure what is promised and write docs/benchmarks.md (about half an hour)
	@$(BIN)/python -W ignore -m bench

lint: install ## Check style and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

docs: install ## Write the tables and columns into docs/metrics.md, from the .sql files
	@$(BIN)/python -m topo_pipeline.report.metrics_page docs/metrics.md

snapshot: install ## Write what the code location holds into topo_pipeline_tests/definitions.yaml
	@$(BIN)/python -W ignore -m topo_pipeline_tests.snapshot

lock: install ## Resolve requirements.lock anew from pyproject.toml
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		--all-extras --group test --group dev --group bench --upgrade --output-file requirements.lock pyproject.toml

clean: ## Remove the environment and caches (never data/ or .dagster/)
	@rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage
