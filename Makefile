# The front door. `make help` lists what there is; every target does its own set-up.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
# uv from PATH where it works, else one of our own, pinned like everything else.
UV := $(shell uv --version >/dev/null 2>&1 && command -v uv || echo .envs/bootstrap/bin/uv)
export PATH := $(CURDIR)/.venv/bin:$(CURDIR)/.envs/sam/bin:$(CURDIR)/.envs/bootstrap/bin:$(PATH)
export SAM_CLI_TELEMETRY := 0
unexport VIRTUAL_ENV

RUN := .venv/bin/python
GROUPS := runtime orders dev emulator sam bootstrap

## --- set-up (called by the others) ---

.PHONY: setup setup-sandbox
setup: .venv/.done ## The project's own environment
setup-sandbox: setup .envs/emulator/.done .envs/sam/.done ## The emulator's and SAM CLI's environments as well

.envs/bootstrap/bin/uv: requirements/bootstrap.txt
	$(PYTHON) -m venv .envs/bootstrap
	.envs/bootstrap/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	touch $@

# One rule a kind of environment: uv builds it from its lock and marks it done.
define build_env
	$(UV) venv --quiet --clear --python 3.13 $(1)
	$(UV) pip install --quiet --python $(1)/bin/python --require-hashes -r $(2)
endef

.venv/.done: requirements/dev.txt pyproject.toml $(filter .envs/%,$(UV))
	$(call build_env,.venv,requirements/dev.txt)
	$(UV) pip install --quiet --python .venv/bin/python --no-deps --editable .
	touch $@

.envs/%/.done: requirements/%.txt $(filter .envs/%,$(UV))
	$(call build_env,.envs/$*,$<)
	touch $@

.PHONY: lock
lock: $(filter .envs/%,$(UV)) ## Lock every dependency group with hashes
	for group in $(GROUPS); do \
	  $(UV) pip compile --quiet --universal --python-version 3.13 --generate-hashes --group $$group \
	    --custom-compile-command "make lock" --output-file requirements/$$group.txt; \
	done

.PHONY: help
help: ## This list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'
