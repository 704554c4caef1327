# Dealpost's workshop: `make` alone tells what there is.

PYTHON ?= python3
VENV_PYTHON := .venv/bin/python
# For every system and every Python from 3.11 on, not only for the one that this runs on.
COMPILE := $(VENV_PYTHON) -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header
TYPED := outbox service sandbox workshop benchmarks chaos tests wsgi.py scheduler.py
# Two at a time; ARGS="-n 0" for one after the other, as a debugger needs it.
TWO := -n 2 --dist loadfile --max-worker-restart 0
CASES ?= 100000
FAST := tests/unit tests/integration tests/test_architecture.py tests/test_translations.py

.DEFAULT_GOAL := help
.PHONY: help run demo test-fast test test-clients check format lint types docs screenshots bench fuzz chaos lock translations setup setup-dev

help: ## Tell what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: setup ## Start the service: web, worker and, with no account configured, a sandbox (PORT=8000)
	@$(VENV_PYTHON) -m workshop.run $(ARGS)

demo: setup ## Send real requests through every way in and show what arrived (ARGS="--pace 1" to watch)
	@$(VENV_PYTHON) -m workshop.demo $(ARGS)

test-fast: setup-dev ## Run the tests that start no process and no browser, about two minutes (ARGS="-k words" for some)
	@$(VENV_PYTHON) -m pytest $(TWO) $(FAST) $(ARGS)

test: setup-dev ## Run all tests, about a quarter of an hour (ARGS="-k words" for some)
	@echo "All tests take about a quarter of an hour on two idle cores. While you work: make test-fast, about two minutes."
	@$(VENV_PYTHON) workshop/tests.py $(ARGS)

test-clients: setup-dev ## Run other people's clients, from npm and PyPI, against the service and the sandbox
	@$(VENV_PYTHON) -m pytest -m registry tests/clients $(ARGS)

check: lint types test ## Format, lint, types, tests, docs: what the continuous integration runs

format: setup-dev ## Format the code
	@$(VENV_PYTHON) -m ruff format .
	@$(VENV_PYTHON) -m ruff check --fix .

lint: setup-dev ## Look at format and style
	@$(VENV_PYTHON) -m ruff format --check .
	@$(VENV_PYTHON) -m ruff check .

types: setup-dev ## Check the types
	@$(VENV_PYTHON) -m mypy --strict $(TYPED)

docs: setup ## Build the documentation as a site, in build/docs
	@$(VENV_PYTHON) -m workshop.docs site

screenshots: setup-dev ## Make the pictures of the page anew, in docs/images (needs a Chromium)
	@$(VENV_PYTHON) -m workshop.screenshots

bench: setup-dev ## Measure what docs/benchmarks.md tells
	@$(VENV_PYTHON) -m benchmarks $(ARGS)

fuzz: setup-dev ## Send it 100,000 made-up requests by every way in (CASES=100000)
	@FUZZ_CASES=$(CASES) $(VENV_PYTHON) -m pytest -q tests/integration/web/test_fuzz.py tests/security/test_any_request.py $(ARGS)

chaos: setup-dev ## Break it on purpose and count what was lost (ARGS="--seconds 300 --seed 7", ENGINE=postgres)
	@ENGINE=$(ENGINE) $(VENV_PYTHON) -m chaos $(ARGS)

lock: setup-dev ## Pin requirements.in and requirements-dev.in anew, with hashes (ARGS=--upgrade for newer ones)
	@$(COMPILE) $(ARGS) --output-file requirements.txt requirements.in
	@$(COMPILE) $(ARGS) --constraint requirements.txt --output-file requirements-dev.txt requirements-dev.in

translations: setup ## Compile the page's translations
	@$(VENV_PYTHON) -m babel.messages.frontend compile --directory service/operator/translations

setup:
	@$(PYTHON) workshop/setup.py run

setup-dev:
	@$(PYTHON) workshop/setup.py dev
