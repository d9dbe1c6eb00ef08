# Everything a person runs here. Each target prepares .venv by itself; `make` alone lists them.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules --no-print-directory

PYTHON ?= python3
WORKERS ?= 2
LEVERHOUSE_RECORDED ?= ../shared/recorded
LEVERHOUSE_HOME ?= warehouse
PORT ?= 3000

BIN := .venv/bin
# One package of another version, set before those of .venv. Absolute, because tests start processes in other folders.
DUCKDB2 := $(CURDIR)/.venv-duckdb2-overlay
SPARK := $(CURDIR)/.venv-spark-overlay
# The tests of a module run in one worker, so that what a module builds is built once; the longest begin first (tests/suite.py).
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --dist loadscope --no-loadscope-reorder --durations 15

.PHONY: help setup demo recorded test lint unit test-slow soak evaluate fuzz mutants test-duckdb2 test-spark bench docs snapshots ui lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## make or repair .venv from requirements.lock (every target does this by itself)
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "leverhouse needs Python 3.11 or newer, and '$(PYTHON)' is $$("$(PYTHON)" --version 2>&1 || true). Name another one: make PYTHON=python3.12 ..." >&2; exit 1; }
	@"$(PYTHON)" scripts/setup.py

demo: setup ## the whole way on a simulated market: no network, no key (ARGS="--seed 8")
	LEVERHOUSE_HOME="$(LEVERHOUSE_HOME)" $(BIN)/leverhouse demo $(ARGS)

recorded: setup ## run the whole way on the recorded history in LEVERHOUSE_RECORDED
	@test -d "$(LEVERHOUSE_RECORDED)" || \
		{ echo "No recorded history in '$(LEVERHOUSE_RECORDED)'. Name its folder: make recorded LEVERHOUSE_RECORDED=/path/to/recorded" >&2; exit 1; }
	LEVERHOUSE_HOME="$(LEVERHOUSE_HOME)" LEVERHOUSE_MAPPINGS=tests/recorded/mappings \
		$(BIN)/leverhouse run --root "$(LEVERHOUSE_RECORDED)"

test: lint unit ## what CI runs: lint, types, and every test but benchmarks and the slow ones

lint: setup ## ruff, mypy, import rules, SQL style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/sqlfluff lint --nocolor --disable-progress-bar dbt_project/models dbt_project/tests dbt_project/analyses

unit: setup ## the tests of make test, without the linters
	$(PYTEST) $(ARGS)

test-slow: setup ## kill and race whole runs; a year of every venue; the recorded history again, and rebuilt
	$(PYTEST) -m slow $(ARGS)

soak: setup ## thirty days of scheduled operation with faults, kills and restatements, against an undisturbed run
	$(BIN)/python -m pytest -n 0 --durations 5 -m slow tests/e2e/test_soak.py $(ARGS)

evaluate: setup ## what is found of planted events, and which signal and level holds: docs/signal_evaluation.md, docs/evidence.md
	LEVERHOUSE_HOME="$(LEVERHOUSE_HOME)" $(BIN)/leverhouse evaluate --write docs/signal_evaluation.md --evidence docs/evidence.md $(ARGS)

fuzz: setup ## make up faulty answers of every feed until stopped, or until one breaks the reading (LEVERHOUSE_FUZZ_SECONDS=600)
	$(BIN)/python -m pytest -n 0 -m fuzz tests/sources/test_fuzz.py $(ARGS)

mutants: setup ## put known defects into a copy of the project: its tests must see every one
	$(BIN)/python -m pytest -n 0 --durations 5 -m mutation tests/mutations $(ARGS)

test-duckdb2: setup ## the same tests on DuckDB 2.0
	@"$(PYTHON)" scripts/setup.py --with-duckdb2
	PYTHONPATH="$(DUCKDB2)" $(BIN)/python -c 'import duckdb; assert duckdb.__version__ == "2.0.0", duckdb.__file__'
	PYTHONPATH="$(DUCKDB2)" $(PYTEST) $(ARGS)

test-spark: setup ## the demo's seeds, models and data tests on Spark, table by table as on DuckDB; needs Java 17
	@"$(PYTHON)" scripts/setup.py --with-spark
	PYTHONPATH="$(SPARK)" $(BIN)/python -m pytest -n 0 --durations 5 -m spark tests/spark $(ARGS)

bench: setup ## speed and memory against a bare DuckDB load
	$(BIN)/python -m pytest -m benchmark --benchmark-enable tests/benchmarks $(ARGS)

docs: setup ## write docs/data_dictionary.md, docs/sources.md, docs/images (needs Chromium) and dbt's site, dbt_project/target/static_index.html
	cd dbt_project && LEVERHOUSE_DATABASE=:memory: ../$(BIN)/dbt --quiet docs generate --static --empty-catalog --no-partial-parse
	$(BIN)/python scripts/data_dictionary.py
	$(BIN)/python scripts/sources_page.py
	$(BIN)/python scripts/report_pictures.py

snapshots: setup ## renew tests/dbt/compiled, the SQL of the marts as dbt compiles it
	cd dbt_project && LEVERHOUSE_DATABASE=:memory: ../$(BIN)/dbt --quiet compile --no-partial-parse
	$(BIN)/python scripts/sql_snapshots.py

ui: setup ## Dagster's pages and its daemon on http://127.0.0.1:PORT
	LEVERHOUSE_HOME="$(LEVERHOUSE_HOME)" $(BIN)/leverhouse ui --port $(PORT)

lock: ## renew requirements.lock; KEEP=1 keeps the pins that still fit (needs uv)
	"$(PYTHON)" scripts/lock.py $(if $(KEEP),--keep,)

clean: ## remove what tools left behind; never a warehouse
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .benchmarks dbt_project/target dbt_project/logs logs
	find . -name __pycache__ -not -path './.venv*' -prune -exec rm -rf {} +
