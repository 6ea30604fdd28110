# make demo    sets everything up, then signs and verifies real messages
# make test    sets everything up, then runs what CI runs
# make bench   sets everything up, then compares speed and memory with other implementations
#
# PYTHON=...   the interpreter to make the environment with (3.11 or newer)
# VENV=...     where the environment is (default .venv)
# BENCH=...    arguments for make bench, such as --quick

VENV ?= .venv
PYTHON ?=
BIN = $(VENV)/bin
export PYTHON

.NOTPARALLEL:
.PHONY: demo test setup check docs coverage unit bench clean

demo:
	@scripts/setup.sh demo $(VENV)
	@$(BIN)/python demo/run.py

# The tests come last, so that their closing line closes the output.
test: setup
	@$(MAKE) --no-print-directory check docs coverage unit

setup:
	@scripts/setup.sh test $(VENV)

check:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: setup
	$(BIN)/sphinx-build -n -W -q docs docs/_build/html

coverage:
	$(BIN)/python scripts/module_coverage.py

# Files of tests side by side, then what compares times.
unit:
	$(BIN)/python -m pytest -m "not alone" -n auto --maxprocesses 4 --dist loadfile --cov --cov-report=
	$(BIN)/python -m pytest -m alone

bench: setup
	@$(BIN)/python -m benchmarks $(BENCH)

clean:
	rm -rf $(VENV) .servers docs/_build docs/reference/_generated .mypy_cache .pytest_cache \
		.ruff_cache .hypothesis .import_linter_cache .coverage
