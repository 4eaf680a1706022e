# Service Users. "make" alone lists what there is.
# Needs Python 3.11 and make; the rest is set up in .venv, once and when the requirements change.

PORT ?= 8000

PYTHON := .venv/bin/python
READY := .venv/.ready

.DEFAULT_GOAL := help
.PHONY: help run test check clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(READY) ## serve the API on this machine, everything alive; PORT=8000
	@$(PYTHON) -m local.run --port $(PORT)

test: $(READY) ## every test that needs no extra program
	@$(PYTHON) -m pytest -q -n 2 -m "not engine"

check: $(READY) ## lint, format and types
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .
	@$(PYTHON) -m mypy

clean: ## remove everything that was set up or made here
	@rm -rf .venv .tools .local build .coverage* .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): requirements.txt requirements-dev.txt
	@python=; \
	for each in python3.11 python3 python; do \
	    if $$each -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then \
	        python=$$each; break; \
	    fi; \
	done; \
	if [ -z "$$python" ]; then \
	    echo "Python 3.11 is needed, and neither python3.11 nor python3 is that." >&2; \
	    echo "Install it (Debian: apt-get install python3.11 python3.11-venv; macOS: brew install python@3.11)." >&2; \
	    exit 1; \
	fi; \
	echo "Setting up .venv (once; it takes about a minute) ..."; \
	if ! $(PYTHON) -c 'import pip, sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null && \
	   ! $$python -m venv --clear .venv; then \
	    echo "Python cannot make a virtual environment (Debian: apt-get install python3.11-venv)." >&2; \
	    exit 1; \
	fi; \
	$(PYTHON) -m pip install -q --disable-pip-version-check -r requirements-dev.txt
	@touch $@
