# mmrs in two commands: `make test` and `make demo`. Both need Python 3.11 to 3.13 and make, and
# do their own set-up in .venv the first time.

SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.stamp
STAMP_DEV := $(VENV)/.stamp-dev

# The first interpreter that runs and is in range. A version manager's shim exists for versions
# that are not chosen and fails when called, so each candidate is run; Debian splits ensurepip
# off, so that is asked for too.
IN_RANGE := import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3 python; do \
	if $$p -c '$(IN_RANGE)' >/dev/null 2>&1; then command -v $$p; break; fi; done)

# What is set for other projects would be imported before what .venv holds.
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV

# Test sizes are tiny: several threads per operation cost more than they bring.
PYTEST = OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(BIN)/python -m pytest

.PHONY: help install test demo check constraints clean

help:
	@echo "make test    set up .venv if needed, run every test"
	@echo "make demo    set up .venv if needed, train, evaluate and map a made-up landscape"
	@echo "make check   format, lint and type checks, then every test"
	@echo "make clean   remove .venv and everything that was made"

install: $(STAMP)

test: $(STAMP)
	$(PYTEST) $(PYTEST_ARGS)

demo: $(STAMP)
	$(BIN)/python tools/demo.py $(DEMO_ARGS)

check: $(STAMP_DEV)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(PYTEST) $(PYTEST_ARGS)

$(STAMP): pyproject.toml setup.py constraints.txt Makefile
	@python="$(PYTHON)"; \
	if [ -z "$$python" ] || ! "$$python" -c '$(IN_RANGE)'; then \
		echo "error: no usable Python 3.11, 3.12 or 3.13 (with venv and ensurepip) found." \
			"Fix: install one (Debian: apt install python3 python3-venv)," \
			"or name it: make $(MAKECMDGOALS) PYTHON=/path/to/python3" >&2; \
		exit 1; \
	fi; \
	if ! $(BIN)/python -c '$(IN_RANGE)' 2>/dev/null; then \
		echo "[1/2] creating $(VENV) with $$($$python --version)"; \
		"$$python" -m venv --clear $(VENV); \
	fi
	@echo "[2/2] installing what constraints.txt names (about 3 GB to fetch the first time)"
	@sh .ci/install $(BIN) openmmlab,test
	@touch $@

$(STAMP_DEV): $(STAMP)
	@sh .ci/install $(BIN) openmmlab,test,dev
	@touch $@

# Needs $(STAMP) for uv. Names and versions only: no index is written down.
constraints: $(STAMP)
	sh .ci/constraints $(BIN) constraints.txt

clean:
	rm -rf $(VENV) build dist mmrs.egg-info mmrs/.mim demo_out work_dirs
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find mmrs tests tools configs benchmarks -name __pycache__ -prune -exec rm -rf {} +
