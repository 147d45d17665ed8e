# `make help` prints the list. All targets work on a fresh machine with Python 3.11+ and make.
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
PORT ?= 8000
SEED ?= 1
SEEDS ?= $(SEED)
ROWS ?= 10000000

.PHONY: help install demo dev quick test test-all check fmt bench bench-large chaos translations screenshots shell migrations migrate

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: .venv/installed ## make .venv and install what running and testing need

.venv/installed: requirements.txt requirements-dev.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

demo: install ## start everything on SQLite with both vendors simulated, play the example calls (ONCE=1: then stop; PORT=8000)
	DEBUG=true $(BIN)/python manage.py demo --port $(PORT) $(if $(ONCE),--once)

dev: install ## web with reload, workers, simulator, a demo client
	DEBUG=true $(BIN)/python manage.py demo --port $(PORT) --dev

quick: install ## before each commit: SQLite, no coverage, no migrations, nothing slow (under 2 minutes)
	$(BIN)/python -m tests.run quick

test: install ## what CI needs: SQLite with coverage, PostgreSQL, processes, browser, one chaos seed (under 12 minutes)
	$(BIN)/python -m tests.run ci

test-all: install ## all of it: both databases whole, slow tests, every fault of processes, a hundred chaos seeds
	$(BIN)/python -m tests.run all

check: install ## format, lint, types, import contracts, migrations, translations, deploy checks
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	DEBUG=true $(BIN)/python manage.py makemigrations --check --dry-run
	$(BIN)/python -m tests.translations
	$(BIN)/python -m tests.deploy_check

shell: install ## a Python shell with Django, on the development database
	DEBUG=true $(BIN)/python manage.py shell

migrations: install ## write the one migration of each app anew, after a change of a model (until the first release)
	$(BIN)/python -m tests.fold_migrations

migrate: install ## bring the development database up to date
	DEBUG=true $(BIN)/python manage.py migrate

fmt: install ## format the code and sort its imports
	$(BIN)/ruff check --fix --quiet . || true
	$(BIN)/ruff format .

translations: install ## write new texts into locale/ and compile the translated ones
	$(BIN)/python -m tests.translations --write

screenshots: install ## take the pictures of README and docs with the browser tests (Chromium)
	SCREENSHOTS=docs/screenshots $(BIN)/python -m pytest -m processes --timeout=300 tests/browser

chaos: install ## hours of eight clients with random faults, some for days, verified (SEEDS=1-100 for many)
	$(BIN)/python -m tests.chaos $(SEEDS)

bench: install ## the benchmarks: one table of figures, limits of the same run, and targets (11 minutes; TOPICS="rings idle": only these)
	$(BIN)/python -m tests.bench $(TOPICS)

bench-large: install ## the pages of the call log and of statistics with ten million calls (ROWS=1000000 for fewer)
	$(BIN)/python -m tests.bench --large --rows $(ROWS)
