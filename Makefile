# Service Users. "make" alone lists what there is.
# Needs Python 3.11 and make; the rest is set up in .venv, once and when the requirements change.

PORT ?= 8000
PAYLOAD ?= 1.0

# Many a machine has these in its environment, and means somebody else by them.
$(foreach name,NAME USERNAME EMAIL,$(if $(filter environment,$(origin $(name))),$(eval override $(name) :=)))

PYTHON := .venv/bin/python
READY := .venv/.ready

.DEFAULT_GOAL := help
.PHONY: help run example test check clean package deploy account owner e2e bench

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(READY) ## serve the API on this machine, everything alive; PORT=8000
	@$(PYTHON) -m local.run --port $(PORT)

example: $(READY) ## serve an API that the keys guard beside Service Users; PORT=8000 PAYLOAD=1.0
	@$(PYTHON) examples/protected-api/run.py --port $(PORT) --payload $(PAYLOAD)

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

# Shipping to AWS: docs/operations.md tells of every variable.

CHECKS := .tools/stack/.ready
RUNTIME := .tools/runtime/.ready

package: $(READY) ## make the package and its template in build/STAGE; STAGE=acme
	@$(PYTHON) -m deploy package --stage "$(STAGE)"

deploy: $(READY) ## package and deploy; STAGE=acme SENDER=users@example.com, and what docs/operations.md names
	@$(PYTHON) -m deploy deploy --stage "$(STAGE)" --sender "$(SENDER)" --public-url "$(PUBLIC_URL)" \
	    --memory "$(MEMORY)" --log-days "$(LOG_DAYS)" --event-days "$(EVENT_DAYS)" --alarms "$(ALARMS)" \
	    --bucket "$(BUCKET)" --authorizer-rules "$(RULES)" --parameters "$(PARAMETERS)"

account: $(READY) ## make an account in a deployed stack; STAGE=acme NAME=Acme USERNAME=ann EMAIL=ann@example.com
	@$(PYTHON) -m deploy account --stage "$(STAGE)" --name "$(NAME)" --username "$(USERNAME)" --email "$(EMAIL)"

owner: $(READY) ## give an OWNER who has lost their way in a new key; STAGE=acme USERNAME=ann
	@$(PYTHON) -m deploy owner --stage "$(STAGE)" --username "$(USERNAME)"

e2e: $(READY) $(CHECKS) $(RUNTIME) ## test the package: on Lambda's runtime client, beside the real engine (Java)
	@$(PYTHON) -m deploy package --stage test
	@SERVICE_USERS_PACKAGE=build/test $(PYTHON) -m local.dynamodb_local -- \
	    $(PYTHON) -m pytest -q -n 2 --dist loadgroup tests/e2e tests/deploy/test_package.py

bench: $(READY) $(RUNTIME) ## measure the package: a table and a plot in bench/
	@$(PYTHON) -m deploy package --stage bench
	@SERVICE_USERS_PACKAGE=build/bench $(PYTHON) -m local.dynamodb_local -- $(PYTHON) -m bench

$(CHECKS): deploy/requirements-check.txt | $(READY)
	@$(PYTHON) -m venv --clear $(@D) && $(@D)/bin/python -m pip install -q --disable-pip-version-check -r $<
	@touch $@

$(RUNTIME): local/package/runtime.txt | $(READY)
	@$(PYTHON) -m venv --clear $(@D) && $(@D)/bin/python -m pip install -q --disable-pip-version-check -r $<
	@touch $@
