# Two commands matter: `make demo` shows a leaderboard, `make test` is what CI runs.
# Both need only git, make and Python 3.11 or newer with venv.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin

.PHONY: help announce demo test lint types unit docs conformance clean

help:
	@echo "make demo         install, run the bundled models over the bundled tasks, write an HTML report"
	@echo "make test         install, lint, check types, run the test suite"
	@echo "make conformance CASES=DIR   check metric cases (default: tests/conformance)"
	@echo "make docs         write docs/cli.md anew from the command line itself"

announce:
	@test -e $(VENV)/.ready || echo "First $(VENV) is filled, once: the packages take about 2.4 GB on the disk, and downloading them takes minutes."
	@echo "Then three models answer 276 questions, which takes a little more than a minute on two quiet cores (78 seconds when it was measured); nothing more is downloaded."

# The digest of every file is checked but that of torch: the index of a machine without a GPU may have a build of the
# same version for processors alone. It comes last, so that it finds what it needs and takes no newer versions.
$(VENV)/.ready: requirements.lock requirements-hashed.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --no-deps --require-hashes -r requirements-hashed.lock
	$(BIN)/python -m pip install --disable-pip-version-check "$$(grep '^torch==' requirements.lock)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: announce $(VENV)/.ready
	$(BIN)/bench run --models qwen2-vl-nano,qwen2-vl-nano-nf4,ocr --tasks all --latency-samples 8 --name demo

test: lint types unit

lint: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.ready
	$(BIN)/mypy

# The tests start hundreds of processes: where no bytecode may be kept, each of them compiles the package anew.
unit: $(VENV)/.ready
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -q -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

CASES ?= tests/conformance
conformance: $(VENV)/.ready
	@$(BIN)/python -m workshop.conformance.metrics $(CASES)

docs: $(VENV)/.ready
	$(BIN)/python -m bench.cli.reference > docs/cli.md

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache
