# `make` without a target lists the targets.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# uv installs the runtime in seconds. `make INSTALLER=pip` uses pip instead.
INSTALLER ?= uv
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
UV := $(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python
# Keep bytecode even if the environment says otherwise, so that the tests' many processes don't recompile every module.
TEST := PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate

.DEFAULT_GOAL := help
.PHONY: help install install-dev demo dev test test-all bench lint docs bi site release pictures snapshot bundle fixture lock clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | awk -F'\t' '{printf "  make %-11s %s\n", $$1, $$2}'

install: $(VENV)/.installed ## Create .venv from requirements.lock: the pipeline and the demo
install-dev: $(VENV)/.installed-dev ## Create .venv from requirements-dev.lock: also extras, tests, linters and benchmarks

# Each lock includes uv and the build requirements of the editable install, so that every installed package has a hash.
define install
@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "topo_pipeline needs Python 3.11 or newer: make PYTHON=/path/to/python3.11")'
@echo "Installing $< into $(VENV)"
@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
@test $(INSTALLER) = pip || sed -n '/^uv==/,/[^\]$$/p' $< | $(PIP) --require-hashes --no-deps -r /dev/stdin \
	|| echo "uv could not be installed. Using pip instead, which takes half a minute longer."
@test $(INSTALLER) != pip && $(UV) --require-hashes --no-deps -r $< || $(PIP) --require-hashes --no-deps -r $<
@$(PIP) --no-deps --no-build-isolation --editable .
@$(BIN)/python -m topo_pipeline.report.bundle
@touch $@
endef

$(VENV)/.installed: requirements.lock pyproject.toml
	$(install)

$(VENV)/.installed-dev: requirements-dev.lock pyproject.toml
	$(install)
	@touch $(VENV)/.installed

demo: install ## Read 26 weeks of a simulated workspace and print the results
	@$(BIN)/topo-pipeline demo

dev: install ## Start Dagster's UI on port 3000 (with Topo if TOPO_API_KEY is set, else with the sandbox)
	@$(BIN)/topo-pipeline dev

test: install-dev ## Run the tests with the coverage gate (5 to 15 minutes on two cores)
	@$(TEST) --cov --cov-report=term-missing

test-all: install-dev ## Run the full tests: every kill point, fault and warehouse type, large workspaces, the real daemon
	@$(TEST) -m ""

bench: install-dev ## Run the benchmarks and write docs/benchmarks.md (about half an hour)
	@$(BIN)/python -W ignore -m bench

lint: install-dev ## Check style and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

docs: install-dev bi ## Update docs/metrics.md: the columns from the .sql files, the examples' numbers from the demo; also bi
	@$(BIN)/python -m tools.metrics_page docs/metrics.md
	@$(BIN)/python -m tools.worked_examples

bi: install-dev ## Update bi/topo.sql and bi/dbt/models/sources.yml from the comments of the tables
	@$(BIN)/python -m tools.bi

site: install-dev ## Build the documentation as a site in site/ (some seconds, no network), with every link checked
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "Open site/index.html, or serve it with a working search: python3 -m http.server --directory site --bind 127.0.0.1"

release: install-dev ## Build the wheel and the source distribution in dist/, and check them in an empty environment
	@$(BIN)/python -m tools.release

pictures: install-dev ## Make docs/pictures from the demo, with /usr/bin/chromium (some minutes)
	@$(BIN)/python -m tools.pictures

bundle: ## Write the JavaScript of the report's charts, as the installation does
	@$(BIN)/python -m topo_pipeline.report.bundle

snapshot: install-dev ## Write the Dagster definitions to topo_pipeline_tests/definitions.yaml
	@$(BIN)/python -W ignore -m topo_pipeline_tests.snapshot

fixture: install-dev ## Save a warehouse of this schema version for the tests, before you add a migration
	@$(BIN)/python -m topo_pipeline_tests.warehouse.old.write_old

lock: install-dev ## Update both locks from pyproject.toml to the newest version of each package
	@$(LOCK) --upgrade --all-extras --group install --group test --group dev --group docs --group bench --output-file requirements-dev.lock pyproject.toml
	@$(LOCK) --extra sandbox --group install --constraint requirements-dev.lock --output-file requirements.lock pyproject.toml

clean: ## Remove the environment and caches (never data/ or .dagster/)
	@rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage site
