# The table of contents. `make run` and `make test` are all that a new user needs.
SHELL := /bin/sh
PYTHON ?= python3
BIN := .venv/bin
DEMO ?= demo-site

.PHONY: help .venv run test test-long lint types bench clean browser
help: ## this list
	@grep -E '^[a-z.-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

.venv: .venv/installed ## the virtual environment with the pinned packages

# A stamp, written last: an installation that was interrupted is made again.
.venv/installed: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Genba needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Try: make PYTHON=python3.12 run")'
	@echo "installing the pinned packages into .venv (once, two to four minutes) ..."
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --disable-pip-version-check --quiet --progress-bar off -r requirements.txt
	$(BIN)/pip install --disable-pip-version-check --quiet --no-deps --editable .
	@touch $@

.venv/tests: requirements-dev.txt .venv/installed
	$(BIN)/pip install --disable-pip-version-check --quiet --progress-bar off -r requirements-dev.txt
	@touch $@

run: .venv/installed ## the demo site with Label Studio, web and worker; Ctrl-C stops all
	@$(BIN)/genba demo $(DEMO)
	@exec $(BIN)/genba up $(DEMO)/site

browser: .venv/tests
	@$(BIN)/python -m tests.browser

test: .venv/tests browser ## everything but the long tests, with a real Label Studio and a real browser
	@$(BIN)/python -m pytest -m "not long"

test-long: .venv/tests browser ## full-length load and chaos too
	@$(BIN)/python -m pytest

lint: .venv/tests ## formatter and linter
	@$(BIN)/ruff format --check . && $(BIN)/ruff check .

types: .venv/tests ## the type checker
	@$(BIN)/mypy

bench: .venv/tests ## how well bad captions are found and how fast, on real photos (needs ../shared; 15 minutes)
	@$(BIN)/python -m scoring.benchmark
	@$(BIN)/python -m scoring.rates
	@$(BIN)/python -m dashboards.evidence

clean: ## remove the environment and caches; the demo site stays
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
