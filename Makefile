# Each target sets up what it needs; a second run is instant. `make` alone lists them.
PYTHON ?= python3
ARGS ?=
BIN := .venv/bin
CHECKED := $(wildcard src tests scripts examples benchmarks fuzz)
TYPED := $(wildcard src tests scripts examples benchmarks)

.DEFAULT_GOAL := help
.PHONY: help setup setup-run run test check fix cov bench demo lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## make .venv with everything that tests and checks need
	@$(PYTHON) scripts/setup.py dev

setup-run:
	@$(PYTHON) scripts/setup.py run

run: setup-run ## start the server and its page; ARGS="--port 9000" is passed on
	$(BIN)/streamkeep serve $(ARGS)

demo: setup-run ## the same with the simulated model, whatever keys are set
	env -u ANTHROPIC_API_KEY -u OPENAI_API_KEY $(BIN)/streamkeep serve $(ARGS)

test: setup ## run every test; ARGS="tests/test_sse.py -k bom" narrows it
	$(BIN)/pytest $(ARGS)

check: setup ## format, lint, types, import directions, architecture, docs
	$(BIN)/ruff format --check --quiet $(CHECKED)
	$(BIN)/ruff check --quiet $(CHECKED)
	$(BIN)/mypy $(TYPED)
	$(BIN)/lint-imports --no-logo
	$(BIN)/python scripts/check_docs.py
	$(BIN)/pytest tests/test_architecture.py -q

fix: setup ## mend what a machine can: format and lint
	$(BIN)/ruff check --fix --quiet $(CHECKED) || true
	$(BIN)/ruff format $(CHECKED)

cov: setup ## every branch of each pure module, by its own test file
	$(BIN)/python scripts/coverage_by_file.py $(ARGS)

bench: setup ## measure; prints figures with their units
	$(BIN)/python -m benchmarks $(ARGS)

LOCK = uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes \
	--no-header --no-annotate --no-emit-index-url --group build

lock: ## pin again after pyproject.toml changed (needs uv); ARGS=--upgrade takes newer ones
	$(LOCK) --output-file requirements/run.lock $(ARGS)
	$(LOCK) --group dev --all-extras --constraint requirements/run.lock --output-file requirements/dev.lock $(ARGS)

clean: ## remove what the tools made, .venv included
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist htmlcov .coverage .coverage.*
