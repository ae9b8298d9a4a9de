# Everything a person does with this tree. `make` lists it. Options: ARGS="..." goes to the command behind a target.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

BIN := .venv/bin
PYTHON_FILES := src tests scripts docs $(wildcard benchmarks)
ARGS ?=

##@ Use it
.PHONY: up
up: .venv/.installed ## Start a complete server here, enrol this machine, print where to look (ARGS="--help")
	@exec $(BIN)/keyfast up $(ARGS)

##@ Change it
.PHONY: install
install: .venv/.dev ## Install the tree and all its tools into .venv, from the lock

.PHONY: test
test: .venv/.dev ## Install what tests need (apt-get when it may), run all tests but the slow ones
	@scripts/install-test-tools
	@scripts/install-package-tools
	@scripts/test $(ARGS)

.PHONY: coverage
coverage: .venv/.dev ## The same, and hold the coverage gates; takes half as long again
	@scripts/install-test-tools
	@scripts/install-package-tools
	@scripts/coverage

.PHONY: check
check: .venv/.dev ## Lint, format, types, import law, spelling, docs, lock: everything that needs no test run
	@scripts/check

.PHONY: fix
fix: .venv/.dev ## Repair what can be repaired: lint and format
	$(BIN)/ruff check --fix $(PYTHON_FILES)
	$(BIN)/ruff format $(PYTHON_FILES)

.PHONY: docs
docs: .venv/.dev ## Check that every link and heading in the documentation leads somewhere
	$(BIN)/python scripts/check_docs.py

.PHONY: bench
bench: .venv/.dev ## Measure check-ins against a static nginx in the same run (ARGS="--quick", "--json FILE")
	@scripts/install-bench-tools
	@$(BIN)/python -m benchmarks $(ARGS)

.PHONY: lock
lock: ## Resolve the dependencies anew and write the locks (ARGS="--upgrade" for newer versions)
	python3 scripts/lock.py $(ARGS)

.PHONY: hooks
hooks: .venv/.dev ## Run the fast checks before every commit
	$(BIN)/pre-commit install

.PHONY: clean
clean: ## Remove everything that was built or installed here; data of a server is kept
	rm -rf .venv .uv build dist htmlcov .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .hypothesis
	rm -rf .import_linter_cache .packages benchmarks/build
	find . -name __pycache__ -type d -prune -not -path './.git/*' -exec rm -rf {} +

.PHONY: help
help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^##@ / {printf "\n%s\n", substr($$0, 5)} \
	  /^[a-z-]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# Stamps: a second run does not install again. The dev lock contains the other one, so it serves `up` too.
.venv/.installed: pyproject.toml requirements.lock scripts/install scripts/uv scripts/uv.lock
	@scripts/install run

.venv/.dev: pyproject.toml requirements.lock requirements-dev.lock scripts/install scripts/uv scripts/uv.lock
	@scripts/install dev
