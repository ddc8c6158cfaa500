# `make help` lists the targets. Every target makes the environments that it needs.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
# uv from PATH where it works, otherwise the project's own, pinned like everything else.
UV := $(shell uv --version >/dev/null 2>&1 && command -v uv || echo .envs/bootstrap/bin/uv)
export PATH := $(CURDIR)/.venv/bin:$(CURDIR)/.envs/sam/bin:$(CURDIR)/.envs/bootstrap/bin:$(PATH)
export SAM_CLI_TELEMETRY := 0
unexport VIRTUAL_ENV
# Without byte code every process that the tests and the demo start would compile its imports again.
unexport PYTHONDONTWRITEBYTECODE

RUN := .venv/bin/python
GROUPS := runtime orders dev emulator workers sam scan docs release traces bootstrap

## --- set-up (called by the others) ---

# Made once. After a change of the planner, backtests are interpreted until the next `make compile`.
COMPILED := build/compiled/manifest.json

.PHONY: setup setup-sandbox setup-scan setup-docs setup-release setup-languages
setup: .venv/.done $(COMPILED) ## Make the project's environment, and compile the planner for backtests
setup-sandbox: .venv/.done .envs/emulator/.done .envs/sam/.done .envs/workers/.done ## Make the environments of the emulator, of SAM CLI and of examples/workers as well
setup-scan: .venv/.done .envs/scan/.done ## Make the environment of the scanners of `make check`
setup-docs: .envs/docs/.done .envs/diagrams/.done ## Make the environments of `make docs`, that of its diagrams where npm is there
setup-release: .venv/.done .envs/release/.done ## Make the environment of what `make release` runs
setup-languages: .envs/node/.done ## Make the environment of the Node consumer in examples/languages, where npm is there

.envs/bootstrap/bin/uv: requirements/bootstrap.txt
	$(PYTHON) -m venv .envs/bootstrap
	.envs/bootstrap/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	touch $@

# One rule for each kind of environment: uv builds it from its lock file and marks it done.
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

# npm's: of the Node consumer, and of what draws the site's diagrams in the browser.
.envs/node/.done: examples/languages/package-lock.json
.envs/diagrams/.done: docs/site/package-lock.json
.envs/node/.done .envs/diagrams/.done:
	mkdir -p $(@D)
	cp $(<D)/package.json $< $(@D)/
	if command -v npm >/dev/null; then npm ci --silent --prefix $(@D); else echo "NO $(@D): npm is missing" >&2; fi
	touch $@

$(COMPILED): | .venv/.done
	$(RUN) -m sluice_tools.compiled

.PHONY: lock
lock: $(filter .envs/%,$(UV)) ## Lock every dependency group with hashes
	for group in $(GROUPS); do \
	  project=$$([ $$group = dev ] && echo pyproject.toml --extra backtest || true); \
	  $(UV) pip compile $$project --quiet --universal --python-version 3.13 --generate-hashes --group $$group \
	    --custom-compile-command "make lock" --output-file requirements/$$group.txt; \
	done


## --- targets ---

.PHONY: demo aws-smoke test test-release test-fast coverage check format sandbox bench scale chaos compile ablate planner-docs settings-docs pictures terraform deployer-policy docs build wheel version release clean
demo: setup-sandbox ## Run the whole story on the embedded emulator, in four minutes (JSON=1: the audit as JSON on the last line)
	$(RUN) -m sluice_tools.demo $(if $(JSON),--json)

# Ctrl-C must reach the tool itself, which deletes everything first, so `exec` leaves no shell that would end before it.
aws-smoke: setup-sandbox ## Run the story in your own AWS account, audit and time it, delete it (SANDBOX=1, PREFIX=, DEADLINE=45, YES=1, REMOVE=1, JSON=1)
	exec $(RUN) -m sluice_tools.smoke $(if $(SANDBOX),--sandbox) $(if $(PREFIX),--prefix $(PREFIX)) $(if $(YES),--yes) \
	  $(if $(DEADLINE),--deadline-minutes $(DEADLINE)) $(if $(REMOVE),--remove) $(if $(JSON),--json) $(ARGS)

# The longest tests are first; if one of them started last, it would run alone at the end. The compiled planner is among
# them, since later tests use what it has compiled. A process takes a file at a time, or a folder that is a package
# (tests/conftest.py). Three times as many processes as two cores: the tests on the sandbox wait for most of their time,
# and those that only compute come last. Files are named one by one, since pytest puts a file where its folder is named.
LONGEST := $(addprefix tests/,e2e/test_demo.py integration/test_compiled_runs.py e2e/stack/ e2e/test_deploy.py)
IN_PARTS := $(foreach kind,e2e integration,$(wildcard tests/$(kind)/test_*.py tests/$(kind)/[a-z]*/))
IN_ORDER := $(LONGEST) $(filter-out $(LONGEST),$(IN_PARTS)) $(addprefix tests/,chaos property unit)
# Each of the six processes collects every test. On a new checkout each would compile the same files, so that one process
# for each of two cores does it first. What is wrong in a file, the tests themselves report.
COLLECT := $(RUN) -m pytest --collect-only --quiet
test: setup-sandbox setup-scan ## Run the tests that this machine can run (those for PostgreSQL and Chromium are skipped where these are missing)
	{ $(COLLECT) tests/unit & $(COLLECT) $(filter-out tests/unit,$(IN_ORDER)) & wait; } >/dev/null 2>&1
	$(RUN) -m pytest -n 6 --dist loadfile --no-loadscope-reorder $(IN_ORDER) $(ARGS)

# What is given away and what is written: a wheel in an empty environment, an upgrade, built layers, also in Lambda's own
# containers, the documents' lines as printed, their programs in other languages and their site, and the smoke test that
# a release runs on AWS. A change of the code seldom breaks them, and they take a third of all tests' time.
RELEASED := $(addprefix tests/release/,test_installed.py test_smoke.py documents/)
RELEASED += $(filter-out $(RELEASED),$(wildcard tests/release/test_*.py))
test-release: setup-sandbox setup-docs setup-release setup-languages ## Run the tests of what a release gives away: wheel, upgrade, layers, the documents' lines, programs and site, the smoke test
	$(RUN) -m pytest -n 4 --dist loadfile --no-loadscope-reorder $(RELEASED) $(ARGS)

test-fast: .venv/.done ## Run the unit and property tests without the slow ones, in under a minute
	$(RUN) -m pytest -n 2 -m 'not slow' tests/unit tests/property $(ARGS)

# Tests on the sandbox are left out, since it runs the core in processes of its own, and so is the compiled planner.
coverage: .venv/.done ## Print which branches of the core the fast tests run, and fail below 95%
	$(RUN) -m pytest -n 2 -m 'not slow and not sandbox and not docker and not postgres and not browser' \
	  --ignore tests/integration/test_compiled_runs.py --cov layers/core/sluice --cov-branch --cov-report term:skip-covered \
	  --cov-fail-under 95 tests/unit tests/property tests/chaos tests/integration $(ARGS)

check: setup-sandbox setup-scan ## Check lint, types, import rules and templates, and run the scanners
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy layers/core/sluice sluice_tools tests/support $(addprefix functions/,$(addsuffix /app.py,planner drainer redriver operator console onboarding))
	$(RUN) -m mypy examples/orders/orders
	$(RUN) -m mypy examples/consumer
	.venv/bin/lint-imports
	$(RUN) -m sluice_tools.scan
	.venv/bin/cfn-lint sluice_tools/smoke/base.yaml dashboards/queries.yaml
	.envs/sam/bin/sam validate --lint --region eu-west-1 --template template.yaml
	.envs/sam/bin/sam validate --lint --region eu-west-1 --template fleet.yaml
	.envs/sam/bin/sam validate --lint --region eu-west-1 --template queue.yaml
	.envs/sam/bin/sam validate --lint --region eu-west-1 --template examples/orders/template.yaml

format: .venv/.done ## Format the code
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

sandbox: setup-sandbox ## Start everything on the embedded emulator, leave it running, and print what to try (CONSUMER="command": your own consumer)
	exec $(RUN) -m sluice_tools.cli sandbox $(if $(CONSUMER),--consumer '$(subst ','\'',$(CONSUMER))')

bench: setup-sandbox ## Measure speed, as ratios within one run (MESSAGES=20000 to redrive; JSON=1: one JSON list on the last line)
	$(RUN) -m sluice_tools.bench $(if $(JSON),--json) $(if $(MESSAGES),--messages $(MESSAGES))

scale: setup-sandbox ## Run 200 fleets in the deployed stack on the sandbox, and print the gaps between ticks (seven minutes)
	$(RUN) -m sluice_tools.scale.deployed

SEEDS ?= 1000
chaos: .venv/.done ## Run simulations with seeded faults in virtual time (SEEDS=10000; JSON=1: one JSON object on the last line)
	$(RUN) -m sluice_tools.chaos.chain_exploration
	$(RUN) -m sluice_tools.chaos --seeds $(SEEDS) $(if $(JSON),--json)

compile: .venv/.done ## Compile planner and simulator for `sluice backtest`, which is then three times as fast (needs a C compiler)
	$(RUN) -m sluice_tools.compiled

ablate: compile ## Print what each rule of the planner gains, over generated traffic and worlds (half an hour; ARGS="--rule caution"; ARGS=--docs writes docs/ablations.md)
	$(RUN) -m sluice_tools.ablate $(ARGS)

planner-docs: compile ## Make the results and pictures of docs/comparison.md (some hours the first time, then a quarter of one; ARGS=--help)
	$(RUN) -m sluice_tools.backtest $(ARGS)

# Its environment has the packages that traces are cut from, and needs nothing of the project's.
.PHONY: traces
traces: .envs/traces/.done ## Make the recorded traces of docs/comparison.md, checked by their SHA-256 (ARGS="--raw FOLDER TRACE"; ARGS=--help)
	.envs/traces/bin/python -W ignore -m sluice_tools.recorded_traces $(ARGS)

pictures: setup-sandbox ## Make the documents' pictures of widget, order page, backtest report and demo by their tests (needs Chromium, five minutes)
	SLUICE_UPDATE_DOCS=1 $(RUN) -m pytest -k pictured \
	  tests/e2e/test_widget_views.py tests/e2e/test_orders_browser.py tests/e2e/test_report_browser.py tests/e2e/test_demo.py

settings-docs: .venv/.done ## Make docs/settings.md and docs/settings.schema.json from the code
	$(RUN) -m sluice_tools.settings_docs

.PHONY: cli-docs
cli-docs: .venv/.done ## Make docs/cli.md from the code
	$(RUN) -m sluice_tools.commands.docs

# Warnings are errors: a link or an anchor that leads nowhere, and a page that no section of docs/conf.py has.
docs: setup-docs ## Make the documentation's site in build/site; a broken link is an error
	.envs/docs/bin/python -m sphinx --builder html --fail-on-warning --fresh-env --jobs 2 --quiet \
	  --conf-dir docs --doctree-dir build/site-state . build/site
	@echo "build/site/index.html"

terraform: .venv/.done ## Make the variables, parameters and outputs of the modules in terraform/ from the templates
	$(RUN) -m sluice_tools.terraform_module

deployer-policy: .venv/.done ## Make docs/deployer-policy.json from the templates and CloudFormation's registry
	$(RUN) -m sluice_tools.deployer_policy --docs

# SAM CLI looks for samconfig.toml beside the template that --template-file names (samcli/commands/_utils/options.py).
# It is a link, so that SAM CLI finds there what `sam deploy --guided` has saved.
build: setup-sandbox ## Build the application for arm64 and x86_64, where `sam deploy` finds it
	.envs/sam/bin/sam build
	ln -sfn ../../samconfig.toml .aws-sam/build/samconfig.toml
	@echo "Deploy what was built: .envs/sam/bin/sam deploy --guided"

wheel: $(filter .envs/%,$(UV)) ## Build the wheel, with all that `sluice deploy` needs, into dist/
	rm -f dist/*.whl
	$(UV) build --quiet --wheel --out-dir dist .
	@ls dist/*.whl

version: .venv/.done ## Write VERSION=0.3.0 into pyproject.toml, the templates and the changelog
	$(RUN) -m sluice_tools.release --version "$(VERSION)"

release: setup-release $(filter .envs/%,$(UV)) ## Check tree, versions and changelog, and build wheel, templates, bill of materials and SHA256SUMS into dist/
	$(RUN) -m sluice_tools.release --uv $(UV)

clean: ## Delete everything that can be made again
	rm -rf .venv .envs .aws-sam build dist .coverage .pytest_cache .mypy_cache .ruff_cache .hypothesis

.PHONY: help
help: ## Print this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'
