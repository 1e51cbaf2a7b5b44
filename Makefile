# Every target that is meant to be called has a ## comment; `make help` prints them.

VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
INSTALL := $(PIP_INSTALL) --no-build-isolation --editable ".[all]"

.DEFAULT_GOAL := run
.DELETE_ON_ERROR:

.PHONY: run
run: setup  ## Set up and run the server on port 3000 with the embedded store; options in ARGS="..."
	$(BIN)/penstock serve $(ARGS)

.PHONY: setup
setup: $(VENV)/.installed  ## Install Penstock and what it needs into .venv; PYTHON=... chooses the interpreter

.PHONY: setup-test
setup-test: $(VENV)/.installed-clients $(VENV)/.installed-servers  ## Install what the tests need too

.PHONY: test
test: lint  ## Set up and pass every check and every test
	$(BIN)/pytest --numprocesses auto --dist loadgroup

.PHONY: lint
lint: setup-test  ## Check style, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

.PHONY: format
format: setup-test  ## Rewrite the code in the house format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: reference
reference: setup  ## Write docs/cli.md anew, from what the commands say of themselves
	$(BIN)/python scripts/cli-reference

.PHONY: bench
bench:  ## Say how to measure
	@cat bench/README.md

.PHONY: docs
docs: $(VENV)/.installed-docs  ## Build the site of the documents in .build/site; a warning is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "Open .build/site/index.html"

.PHONY: lock
lock:  ## Renew constraints.txt: the newest versions that pyproject.toml allows
	scripts/lock constraints.txt

.PHONY: clean
clean:  ## Remove .venv and all caches; stored messages stay
	rm -rf $(VENV) tests/clients/js/node_modules tests/browser/js/node_modules .build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: help
help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The stamps carry the time of the last installation, so that a second run installs nothing.

$(VENV)/.created: scripts/create-venv constraints.txt
	scripts/create-venv $(VENV) $(PYTHON)
	$(PIP_INSTALL) --upgrade pip
	$(PIP_INSTALL) --group build
	@touch $@

$(VENV)/.installed: $(VENV)/.created pyproject.toml constraints.txt
	$(INSTALL)
	@touch $@

$(VENV)/.installed-test: $(VENV)/.created pyproject.toml constraints.txt
	$(INSTALL) --group test
	@touch $(VENV)/.installed $@

$(VENV)/.installed-docs: $(VENV)/.created pyproject.toml constraints.txt
	$(INSTALL) --group docs
	@touch $(VENV)/.installed $@

$(VENV)/.installed-clients: $(VENV)/.installed-test scripts/install-clients scripts/install-servers \
		tests/clients/js/package-lock.json tests/browser/js/package-lock.json
	scripts/install-servers
	scripts/install-clients $(VENV)
	@touch $@

$(VENV)/.installed-servers: $(VENV)/.created scripts/install-servers
	scripts/install-servers
	@touch $@
