# What a user, a developer and CI run. Each target makes .venv and installs what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: help demo test check bench recipes clean

help:
	@echo "make demo     train on share prices and show it, in under a minute"
	@echo "make test     the whole test suite"
	@echo "make check    format, lint, types, import order, the documentation's examples"
	@echo "make bench    the measurements behind the numbers in the documentation"
	@echo "make recipes  the published results, again (long; goes on where it stopped)"

demo: $(VENV)/installed
	$(BIN)/elman demo

test: $(VENV)/installed-test
	$(BIN)/python -m pytest -n 2

check: $(VENV)/installed-check
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports
	$(BIN)/python -m pytest tests/test_documentation.py

bench: $(VENV)/installed-test
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/step_overhead.py
	$(BIN)/python benchmarks/resume.py

recipes: $(VENV)/installed-test
	$(BIN)/python recipes/run.py

clean:
	rm -rf $(VENV) runs

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Elman needs Python 3.11 or newer; name one: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)

# torch first, by its pinned version: no other package may then draw in a larger build of it.
$(VENV)/installed: $(BIN)/python pyproject.toml constraints.txt
	$(PIP) torch==$(shell sed -n 's/^torch==//p' constraints.txt)
	$(PIP) --editable .
	@touch $@

$(VENV)/installed-test: $(VENV)/installed
	$(PIP) --editable '.[test]'
	@touch $@

$(VENV)/installed-check: $(VENV)/installed-test
	$(PIP) --editable '.[check]'
	@touch $@
