# What a user, a developer and CI run. Each target makes .venv and installs what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
# Built with what .venv holds and in a folder that stays, so that only what changed is compiled.
INSTALL := $(PIP) --no-build-isolation --config-settings=build-dir=build/{wheel_tag} --editable
SOURCES := pyproject.toml constraints.txt CMakeLists.txt $(wildcard csrc/*.h csrc/*.cpp)
BENCHMARKS := startup step_overhead resume engines ragged steps ridership sequential_mnist threads accelerate long layer_norm remedies memory flatness tbptt

.PHONY: help demo test check sanitize bench recipes recipes-smoke clean

help:
	@echo "make demo      train on share prices and show it, in under a minute"
	@echo "make test      the whole test suite"
	@echo "make check     format, lint, types, import order, the documentation's examples"
	@echo "make sanitize  the native engine's tests under sanitizers: memory, then threads"
	@echo "make bench     the measurements behind the numbers in the documentation"
	@echo "make recipes   the published results, again (hours; goes on where it stopped)"
	@echo "make recipes-smoke  each recipe on a small slice of its data, in a minute or two"

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

sanitize: $(VENV)/installed-test
	tests/sanitize address,undefined
	tests/sanitize thread

bench: $(VENV)/installed-bench
	set -e; for script in $(BENCHMARKS); do $(BIN)/python benchmarks/$$script.py; done

recipes: $(VENV)/installed-test
	$(BIN)/python recipes/run.py

recipes-smoke: $(VENV)/installed-test
	$(BIN)/python recipes/run.py --smoke

clean:
	rm -rf $(VENV) build runs

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Elman needs Python 3.11 or newer; name one: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)

# torch first, by its pinned version: no other package may then draw in a larger build of it.
$(VENV)/installed: $(BIN)/python $(SOURCES)
	$(PIP) torch==$(shell sed -n 's/^torch==//p' constraints.txt)
	$(PIP) cmake nanobind ninja scikit-build-core
	$(INSTALL) .
	@touch $@

$(VENV)/installed-test: $(VENV)/installed
	$(INSTALL) '.[test]'
	@touch $@

$(VENV)/installed-check: $(VENV)/installed-test
	$(INSTALL) '.[check]'
	@touch $@

$(VENV)/installed-bench: $(VENV)/installed-test
	$(INSTALL) '.[bench]'
	@touch $@
