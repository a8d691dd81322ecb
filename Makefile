# A machine needs python3 (3.11 or newer, with venv) and make. Nothing else.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

# Programs that tests start are compiled once, also where the environment says that nothing compiled is to be kept.
test test-quick: export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo test test-quick outsiders clients release browser screenshots check deploy-check serve lock bench bench-ledger bench-flood bench-large bench-query bench-pages bench-start faults fuzz tamper clean
.DEFAULT_GOAL := test

demo: $(INSTALLED)
	@$(BIN)/runledger demo

test: $(INSTALLED)
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

# For the loop of a change: SQLite only, without what starts processes or tries many examples. ARGS adds options of
# pytest; for some modules alone: make test ARGS=tests/storage/test_states.py
QUICK := --ignore=tests/storage/questions --ignore=tests/storage/user_sql --ignore=tests/receiver/cli \
	--ignore=tests/receiver/sandbox --ignore=tests/receiver/api/test_operations.py --ignore=tests/laws/test_readme.py
test-quick: $(INSTALLED)
	@HYPOTHESIS_EXAMPLES=5 $(BIN)/python -m pytest -n 2 -q -k "not postgresql" $(QUICK) tests/storage tests/receiver tests/laws $(ARGS)

# The browser of tests/browser, for root on Debian. Elsewhere put a chromium on the PATH.
browser:
	@command -v chromium >/dev/null || (apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium fonts-noto-core) >/dev/null

# Every page in both themes and three widths, into build/screenshots, and the four pictures of the README.
screenshots: $(INSTALLED)
	@$(BIN)/python -m tests.browser.screenshots $(ARGS)

check: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tests.laws.pages

# What is in deploy/, in the hands of Prometheus, Caddy and systemd: root on Debian has them installed.
deploy-check: $(INSTALLED)
	@$(BIN)/python -m tests.deploy.check $(ARGS)

# Receipts, tiles and the corpus of proofs in the hands of verifiers that others wrote, in an environment of their own;
# Go and its sumdb are installed for root on Debian.
OUTSIDERS := .venv-outsiders/.installed
outsiders: $(INSTALLED) $(OUTSIDERS)
	@$(BIN)/python -m tests.outsiders

$(OUTSIDERS): tests/outsiders/requirements.txt
	@$(PYTHON) -m venv --clear .venv-outsiders
	@.venv-outsiders/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r tests/outsiders/requirements.txt
	@touch $@

# Clients that generators of other people make of the OpenAPI description, in an environment of their own; they submit a
# run to a server. Node is installed for root on Debian.
CLIENTS := .venv-clients/.installed
clients: $(INSTALLED) $(CLIENTS)
	@$(BIN)/python -m tests.clients

$(CLIENTS): tests/clients/requirements.txt
	@$(PYTHON) -m venv --clear .venv-clients
	@.venv-clients/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r tests/clients/requirements.txt
	@touch $@

# What a release consists of, in dist/: the package, tried in an environment of its own, and what it contains. For a
# release: ARGS="--tag v0.1.0".
RELEASE := .venv-release/.installed
release: $(INSTALLED) $(RELEASE)
	@$(BIN)/python -m tests.release $(ARGS)

$(RELEASE): tests/release/requirements.txt
	@$(PYTHON) -m venv --clear .venv-release
	@.venv-release/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r tests/release/requirements.txt
	@touch $@

serve: $(INSTALLED)
	@$(BIN)/runledger serve

# Each takes ARGS="--report FILE" to append its figures to a document. bench takes four minutes on two cores; ARGS may
# say --only intake,submit,settle,queryable, --database postgresql, --json, and counts (--events, --runs, --samples).
bench: $(INSTALLED)
	@$(BIN)/python -m tests.bench $(ARGS)

# What the proof costs: a million entries take a few minutes; ARGS may say --entries, --proofs, --database postgresql.
bench-ledger: $(INSTALLED)
	@$(BIN)/python -m tests.bench.ledger $(ARGS)

bench-flood: $(INSTALLED)
	@$(BIN)/python -m tests.bench.flood $(ARGS)

bench-large: $(INSTALLED)
	@$(BIN)/python -m tests.bench.large $(ARGS)

# ROWS=1000000 takes half an hour to build and some 15 GB; ARGS may say --requests, --database.
ROWS ?= 100000
bench-query: $(INSTALLED)
	@$(BIN)/python -m tests.bench.query --rows $(ROWS) $(ARGS)

# Pages beside the API and Datasette, and in the browser; ARGS may say --store FOLDER, --only answers,views,live, and
# --live 600 for a list that is followed for ten minutes.
bench-pages: $(INSTALLED)
	@$(BIN)/python -m tests.bench.pages --rows $(ROWS) $(ARGS)

bench-start: $(INSTALLED)
	@$(BIN)/python -m tests.bench.start $(ARGS)

# KILLS=200 takes about ten minutes on two cores; ARGS may say --seed, --database, --report.
KILLS ?= 200
faults: $(INSTALLED)
	@$(BIN)/python -m tests.faults --kills $(KILLS) $(ARGS)

# Hostile values on every surface, the databases in turn; ARGS may say --seed, --database, --only, --report.
MINUTES ?= 60
fuzz: $(INSTALLED)
	@$(BIN)/python -m tests.fuzz --minutes $(MINUTES) $(ARGS)

# Changes of a store behind its back, N on each database, each of which has to be found and named; 10,000 take about
# twenty minutes. ARGS may say --seed, --database, --report.
N ?= 10000
tamper: $(INSTALLED)
	@$(BIN)/python -m tests.tamper --count $(N) $(ARGS)

.venv: $(INSTALLED)

$(INSTALLED): tests/requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys, venv; sys.exit(0 if sys.version_info >= (3, 11) else "Runledger needs Python 3.11 or newer; say which with: make PYTHON=python3.12")'
	@echo "Setting up .venv (once)..."
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r tests/requirements.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

# Hashes, no addresses: deploy/requirements.txt is what production installs, deploy/requirements-build.txt what makes
# the package of it, tests/requirements.txt adds the tools.
LOCK := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-header --no-annotate
lock: $(INSTALLED)
	$(BIN)/$(LOCK) $(ARGS) pyproject.toml --output-file deploy/requirements.txt
	$(BIN)/$(LOCK) $(ARGS) pyproject.toml --extra dev --constraints deploy/requirements.txt --output-file tests/requirements.txt
	echo setuptools | $(BIN)/$(LOCK) $(ARGS) - --constraints tests/requirements.txt --output-file deploy/requirements-build.txt
	printf 'dnsid\ntlog-scales\n' | $(BIN)/$(LOCK) $(ARGS) - --output-file tests/outsiders/requirements.txt
	echo openapi-python-client | $(BIN)/$(LOCK) $(ARGS) - --output-file tests/clients/requirements.txt
	printf 'build\ncyclonedx-bom\npip-audit\nsetuptools\n' | $(BIN)/$(LOCK) $(ARGS) - --constraints tests/requirements.txt --output-file tests/release/requirements.txt
	echo zensical | $(BIN)/$(LOCK) $(ARGS) - --output-file docs/requirements.txt

clean:
	rm -rf .venv .venv-docs .venv-outsiders .venv-clients .venv-release dist site .cache build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

# The generated pages and files. A test compares them with the code.
.PHONY: docs docs-site
docs: $(INSTALLED)
	@$(BIN)/python -m tests.laws.documents

# The documents as a site in site/, built by a tool with an environment of its own: nothing else needs it.
SITE := .venv-docs/.installed
docs-site: $(SITE)
	@.venv-docs/bin/zensical build --clean --strict

$(SITE): docs/requirements.txt
	@$(PYTHON) -m venv --clear .venv-docs
	@.venv-docs/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r docs/requirements.txt
	@touch $@
