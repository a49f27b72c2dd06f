# `make demo` and `make test` need make, git and Python 3.11 to 3.13; all else goes into .venv.
# pip reads its options from its own configuration and environment, as everywhere.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/sh

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
PACKAGES := pocket_exec executor_defaults tests
# Stamps: nothing is installed twice. The package is installed editable, so only these files make it stale.
INSTALLED := $(VENV)/.installed
INSTALLS_FROM := pyproject.toml
# As many tests at once as there are cores; the tests of a file, and of the farm, one after the other.
TEST_JOBS ?= logical
AT_ONCE := --numprocesses $(TEST_JOBS) --maxprocesses 8 --dist loadfile --no-loadscope-reorder

.PHONY: help
help: ## Say what there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-16s %s\n", $$1, $$2 }' Makefile

$(BIN)/python:
	@python='$(PYTHON)'; [ -n "$$python" ] || python=$$(.ci/find-python 3.13 3.12 3.11) && \
	echo "virtual environment of $$python in $(VENV)" && \
	"$$python" -m venv $(VENV)
	$(PIP) install --quiet --upgrade 'pip>=25.1'

$(INSTALLED): $(INSTALLS_FROM) | $(BIN)/python
	$(PIP) install --quiet --editable '.[plot]'
	@touch $@

$(VENV)/.group-%: $(INSTALLED)
	$(PIP) install --quiet --group $*
	@touch $@

.PHONY: install
install: $(INSTALLED) ## Make .venv and install the package in it, editable

.PHONY: install-checks
install-checks: $(addprefix $(VENV)/.group-,test lint docs release) ## Install also what test, lint, docs and release-check need

# One pip at a time: two that install into one environment leave a mixture of versions.
.NOTPARALLEL:

# Its input, and everything that is made of it.
ZMUMU := examples/zmumu
$(ZMUMU)/data/samples.json: $(addprefix $(ZMUMU)/,generate.py samples.py truth.py processes.py detector.py nanoaod.py) | $(INSTALLED)
	$(BIN)/python $(ZMUMU)/generate.py

.PHONY: demo
demo: $(INSTALLED) $(ZMUMU)/data/samples.json ## Run the Z to mumu example and draw the dimuon mass
	$(BIN)/runner.py --cfg $(ZMUMU)/cfg.py -o out/demo --force
	$(BIN)/python $(ZMUMU)/plot.py out/demo

.PHONY: test
test: $(VENV)/.group-test ## Run the tests
	@$(BIN)/python -m pytest $(AT_ONCE) $(PYTEST_ARGS) || { status=$$?; \
	[ $$status -ne 5 ] || echo 'pytest collected no test: nothing was tested' >&2; exit $$status; }

.PHONY: farm
farm: $(VENV)/.group-test ## Build and start the batch farm of the tests: HTCondor, Apptainer, Slurm (needs root)
	@$(BIN)/python -m tests.farm_build up

.PHONY: farm-down
farm-down: ## Stop the batch farm of the tests; what was built stays in .cache
	@[ ! -x $(BIN)/python ] || $(BIN)/python -m tests.farm_build down

.PHONY: test-pythons
test-pythons: ## Run the unit tests on each other Python that is found
	.ci/test-pythons $(BIN)/python

.PHONY: lint
lint: $(VENV)/.group-lint ## Check format, style, types, direction of imports, packaging habits
	@status=0; check() { echo "lint: $$1"; "$$@" || status=1; }; \
	cd . && PATH="$$PWD/$(BIN):$$PATH"; \
	check ruff check; \
	check ruff format --check; \
	check mypy; \
	check lint-imports --no-logo; \
	check codespell; \
	check repo-review . --show err; \
	exit $$status

.PHONY: docs
docs: $(VENV)/.group-docs ## Build the documentation, warnings are errors
	$(BIN)/python -m sphinx --fail-on-warning --keep-going -q -j auto -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

.PHONY: release-check
release-check: $(VENV)/.group-release ## Build wheel and sdist, install each in a fresh environment, and run there
	.ci/release-check $(BIN)/python

.PHONY: coffea-suite
coffea-suite: $(VENV)/.group-test ## Run coffea's own executor tests on ours: make coffea-suite COFFEA=/path/to/checkout
	@.ci/coffea-suite $(BIN)/python "$(COFFEA)" $(PYTEST_ARGS)

.PHONY: bench
bench: $(VENV)/.group-bench ## Measure against coffea's own executors and loops written by hand
	$(BIN)/python benchmarks/run.py $(BENCH_ARGS)

.PHONY: clean
clean: ## Remove what this Makefile makes
	-@[ ! -x $(BIN)/python ] || $(BIN)/python -m tests.farm_build down
	rm -rf $(VENV) .cache build dist out/demo $(ZMUMU)/data docs/_build docs/generated .mypy_cache .ruff_cache .pytest_cache \
	  .import_linter_cache .hypothesis
	find pocket_exec executor_defaults tests docs examples benchmarks -name __pycache__ -prune -exec rm -rf {} +
