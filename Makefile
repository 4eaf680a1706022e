# Service Users. "make" alone lists the targets.
# Needs Python 3.11 to 3.14 and make; the rest is set up in .venv, once and when the requirements change.

PORT ?= 8000
PAYLOAD ?= 1.0

# Many environments define these variables for other purposes, so only values given on the command line count.
$(foreach name,NAME USERNAME EMAIL ARCH CATALOGUE GATEWAY TYPE DAYS SHIFT LOAD,$(if $(filter environment,$(origin $(name))),$(eval override $(name) :=)))

PYTHON := .venv/bin/python
READY := .venv/.ready

.DEFAULT_GOAL := help
.PHONY: teardown deploy-test doctor smoke whose-key end-keys help run example test test-second check clean package deploy account owner browser typescript importers clients clients-install clients-generate e2e bench load lock lock-check advisories audit

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(READY) ## serve the API on this machine, with all functions running; PORT=8000 CATALOGUE=file
	@$(PYTHON) -m local.run --port $(PORT) --catalogue "$(CATALOGUE)"

example: $(READY) ## serve Service Users and an example API protected by its keys; PORT=8000 PAYLOAD=1.0, or PROXY=nginx
	@$(PYTHON) $(if $(PROXY),examples/verify/serve.py --proxy $(PROXY),examples/protected-api/serve.py --payload $(PAYLOAD)) --port $(PORT)

test: $(READY) ## run every test that needs no other program
	@$(PYTHON) -m pytest -q -n 2 -m "not engine"

test-second: $(READY) ## run the tests and the contract's tools in the words of a second catalogue
	@$(PYTHON) -m tests.catalogue.second -- -q -n 2 -m "not engine"
	@$(PYTHON) -m tests.catalogue.second --contract

check: $(READY) ## check lint, format and types
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .
	@$(PYTHON) -m mypy

clean: ## remove everything that was set up or built here
	@rm -rf .venv .tools .local build .coverage* .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The first of these that is a supported Python creates .venv.
PYTHONS := python3 python3.13 python3.14 python3.12 python3.11 python
SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))

# Everything installed is locked by version and hash, and comes as a wheel: no package's code runs at set-up. A lock
# lists all that is needed, so pip resolves nothing: before 23.3 it would take a newer release's extra for an unlocked one.
INSTALL := $(PYTHON) -m pip --disable-pip-version-check
LOCKED := install -q --no-deps --require-hashes --only-binary :all:

$(READY): requirements-dev.txt
	@python=; \
	for each in $(PYTHONS); do \
	    if $$each -c '$(SUPPORTED)' 2>/dev/null; then python=$$each; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
	    echo "Python 3.11, 3.12, 3.13 or 3.14 is needed. None of these commands is one: $(PYTHONS)." >&2; \
	    if command -v apt-get >/dev/null; then \
	        echo "Install it as root: apt-get install python3 python3-venv (Debian 12, Ubuntu 24.04 or newer)." >&2; \
	    elif command -v brew >/dev/null; then \
	        echo "Install it: brew install python@3.13" >&2; \
	    fi; \
	    echo "If the system has no such Python, uv and pyenv can install one for your user." >&2; \
	    exit 1; \
	fi; \
	echo "Setting up .venv with $$($$python --version) (once; it takes about a minute) ..."; \
	if ! $(PYTHON) -c 'import pip; $(SUPPORTED)' 2>/dev/null && ! $$python -m venv --clear .venv; then \
	    echo "$$python cannot create a virtual environment." >&2; \
	    if command -v apt-get >/dev/null; then \
	        echo "Install the missing package, as root: apt-get install $$(basename $$python)-venv" >&2; \
	    fi; \
	    exit 1; \
	fi; \
	$(INSTALL) $(LOCKED) -r requirements-dev.txt
	@touch $@

# Deploying to AWS: docs/operations.md describes every variable.

CHECKS := .tools/stack/.ready
BROWSER := .tools/browser/.ready
CLIENTS := .tools/clients/.ready
SOURCES := clients/python/src:clients/cli/src
RUNTIME := .tools/runtime/.ready
EMULATOR := .tools/emulator/.ready

package: $(READY) ## build the package and its template in build/STAGE; STAGE=acme ARCH=arm64 CATALOGUE=file
	@$(PYTHON) -m deploy package --stage "$(STAGE)" --arch "$(ARCH)" --catalogue "$(CATALOGUE)"

deploy: $(READY) ## build and deploy; STAGE=acme SENDER=users@example.com, further variables: docs/operations.md
	@$(PYTHON) -m deploy deploy --stage "$(STAGE)" --sender "$(SENDER)" --public-url "$(PUBLIC_URL)" \
	    --memory "$(MEMORY)" --log-days "$(LOG_DAYS)" --event-days "$(EVENT_DAYS)" --alarms "$(ALARMS)" \
	    --bucket "$(BUCKET)" --authorizer-rules "$(RULES)" --parameters "$(PARAMETERS)" --arch "$(ARCH)" \
	    --catalogue "$(CATALOGUE)" --gateway "$(GATEWAY)" --confirm "$(CONFIRM)" --shift "$(SHIFT)"

account: $(READY) ## create an account in a deployed stack; STAGE=acme NAME=Acme USERNAME=ann EMAIL=ann@example.com
	@$(PYTHON) -m deploy account --stage "$(STAGE)" --name "$(NAME)" --username "$(USERNAME)" --email "$(EMAIL)"

owner: $(READY) ## issue a replacement key to an OWNER who is locked out; STAGE=acme USERNAME=ann
	@$(PYTHON) -m deploy owner --stage "$(STAGE)" --username "$(USERNAME)"

doctor: $(READY) ## check that this AWS account is ready for a deploy; STAGE=acme SENDER=users@example.com
	@$(PYTHON) -m deploy doctor --stage "$(STAGE)" --sender "$(SENDER)"

smoke: $(READY) ## check a deployed stack with a temporary account; STAGE=acme URL=https://api.example.com
	@$(PYTHON) -m deploy smoke --stage "$(STAGE)" --url "$(URL)"

whose-key: $(READY) ## find the holder of a key (read from the terminal) in a deployed stack; STAGE=acme, or LAST5=VOQuO
	@$(PYTHON) -m deploy whose-key --stage "$(STAGE)" --last5 "$(LAST5)"

end-keys: $(READY) ## revoke every key of a type; STAGE=acme TYPE=billing CONFIRM=billing, or DAYS=30 to let them expire
	@$(PYTHON) -m deploy end-keys --stage "$(STAGE)" --type "$(TYPE)" --days "$(or $(DAYS),0)" --confirm "$(CONFIRM)"

teardown: $(READY) ## delete a stack, and list what it leaves behind; STAGE=acme CONFIRM=acme
	@$(PYTHON) -m deploy teardown --stage "$(STAGE)" --confirm "$(CONFIRM)"

deploy-test: $(READY) $(EMULATOR) ## deploy to an AWS emulator, as an operator does
	@$(PYTHON) -m deploy package --stage emulated
	@SERVICE_USERS_PACKAGE=build/emulated PATH="$(CURDIR)/$(dir $(EMULATOR))bin:$$PATH" \
	    $(PYTHON) -m pytest -q -n 2 --dist loadfile tests/emulator

e2e: $(READY) $(CHECKS) $(RUNTIME) ## test the package on Lambda's runtime client and DynamoDB Local (needs Java)
	@$(PYTHON) -m deploy package --stage test
	@SERVICE_USERS_PACKAGE=build/test $(PYTHON) -m local.dynamodb_local -- \
	    $(PYTHON) -m pytest -q -n 2 --dist loadgroup tests/e2e tests/deploy/test_package.py

bench: $(READY) $(RUNTIME) ## measure the package and update docs/performance.md
	@$(PYTHON) -m deploy package --stage bench
	@SERVICE_USERS_PACKAGE=build/bench $(PYTHON) -m local.dynamodb_local -- $(PYTHON) -m bench

load: $(READY) $(RUNTIME) ## put load on the package and update docs/performance.md; LOAD="--seconds 5 --environments 4"
	@$(PYTHON) -m deploy package --stage bench
	@SERVICE_USERS_PACKAGE=build/bench $(PYTHON) -m local.dynamodb_local -- $(PYTHON) -m bench.load --publish $(LOAD)

browser: $(READY) $(BROWSER) ## test the console in Chromium (Debian's, or CHROMIUM=path), with a virtual authenticator
	@.tools/browser/bin/python -m pytest -q -p no:cacheprovider --confcutdir tests/browser tests/browser

clients: $(READY) $(CLIENTS) ## test the Python client and the command line (clients/), in an environment of their own
	@MYPYPATH=$(SOURCES) .tools/clients/bin/python -m mypy --config-file clients/mypy.ini & types=$$!; \
	    PYTHONPATH=$(SOURCES) .tools/clients/bin/python -m pytest -q -p no:cacheprovider --confcutdir tests/clients/packages \
	        tests/clients/packages && wait $$types

clients-install: $(READY) ## install the command line with pipx and with uv, each in a home of its own, and make a call
	@$(PYTHON) -m tests.clients.install

clients-generate: $(CLIENTS) ## generate the Python client again, from docs/openapi.json
	@.tools/clients/bin/python clients/python/generate.py

$(CLIENTS): requirements-clients.txt | $(READY)
	@$(PYTHON) -m venv --clear --without-pip $(@D)
	@$(INSTALL) --python $(@D)/bin/python $(LOCKED) -r $<
	@touch $@

typescript: $(READY) ## walk through the API with two TypeScript clients that generators make of docs/openapi.json (needs npm)
	@$(PYTHON) -m tests.contract.typescript_clients

importers: $(READY) ## make every request of the collections that Postman and Bruno import from docs/openapi.json (needs npm)
	@$(PYTHON) -m tests.contract.importers

$(BROWSER): requirements-browser.txt | $(READY)
	@$(PYTHON) -m venv --clear --without-pip $(@D)
	@$(INSTALL) --python $(@D)/bin/python $(LOCKED) -r $<
	@touch $@

$(CHECKS): deploy/requirements-check.txt | $(READY)
	@$(PYTHON) -m venv --clear --without-pip $(@D)
	@$(INSTALL) --python $(@D)/bin/python $(LOCKED) -r $<
	@touch $@

# A Python of the Lambda runtime's version, with its own pip: the pip of another Python may be too old.
$(RUNTIME): local/package/runtime.txt deploy/runtime.py | $(READY)
	@python=$$($(PYTHON) -m deploy.runtime) && $$python -m venv --clear $(@D)
	@$(@D)/bin/python -m pip --disable-pip-version-check $(LOCKED) -r $<
	@$(@D)/bin/python -m pip --disable-pip-version-check uninstall -q -y --no-input pip
	@touch $@

$(EMULATOR): deploy/requirements-emulator.txt deploy/runtime.py | $(READY)
	@python=$$($(PYTHON) -m deploy.runtime) && $$python -m venv --clear $(@D)
	@$(@D)/bin/python -m pip --disable-pip-version-check $(LOCKED) -r $<
	@touch $@

# Requirements: every X.in names them, and its lock X.txt pins every version.

LOCKS := .tools/lock/.ready

lock: $(LOCKS) ## rewrite every lock, by version and hash; UPGRADE=NAME or UPGRADE=all
	@$(<D)/bin/python -m deploy.locks --upgrade "$(UPGRADE)"

lock-check: $(LOCKS) ## fail if a lock is out of date or incomplete
	@$(<D)/bin/python -m deploy.locks --check
	@$(INSTALL) check

advisories: $(LOCKS) ## look for known vulnerabilities by a packaged database, asking no service (its data is of 2021)
	@$(<D)/bin/python -m deploy.advisories

audit: $(LOCKS) ## look for known vulnerabilities in every locked package (queries PyPI's advisory service)
	@$(<D)/bin/python -m deploy.locks --audit

$(LOCKS): deploy/requirements-lock.txt | $(READY)
	@$(PYTHON) -m venv --clear --without-pip $(@D)
	@$(INSTALL) --python $(@D)/bin/python $(LOCKED) -r $<
	@touch $@
