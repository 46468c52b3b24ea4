# Everything a user or contributor does, from a fresh clone; only Python 3.11 or newer has to be there.
#
#   make run                  a demonstration on a control plane of its own (CLUSTER=current: on your cluster)
#   make test ARGS='-k queue' pytest with more arguments
#   PYTHON=python3.12 make …  another Python

PYTHON ?= python3
ARGS ?=
CLUSTER ?= local
VENV := .venv
BIN := $(VENV)/bin
UNIT := tests/controller tests/webhook
# What measures others' delays, or has a cluster to itself.
ALONE := e2e tests/attacks tests/faults tests/fuzz
VERSION := $(shell sed -n 's/^version = //p' setup.cfg)

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

.PHONY: help
help: ## show this list
	@echo "make …"
	@awk -F ':.*## ' '/^[a-z][a-z0-9-]*:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: $(VENV)/ready ## see it work: a control plane, the receiver, and events as Azure sends them (Ctrl-C ends it)
	@exec $(BIN)/python -m e2e.demo --cluster=$(CLUSTER) $(ARGS)

.PHONY: test
test: $(VENV)/ready controlplane ## run all tests, those on a real control plane too
ifeq ($(ARGS),)
	@$(BIN)/python -m pytest -n auto -m unit $(UNIT)
	@$(BIN)/python -m pytest -n 2 --dist loadfile -m 'not unit' tests $(ALONE:%=--ignore=%)
	@exec $(BIN)/python -m pytest $(ALONE)
else
	@exec $(BIN)/python -m pytest $(ARGS)
endif

.PHONY: unit
unit: $(VENV)/ready ## run the tests that need no process and no control plane, in parallel: the inner loop
	@exec $(BIN)/python -m pytest -n auto -m unit $(UNIT) $(ARGS)

.PHONY: faults
faults: $(VENV)/ready ## kill, cut, delay, refuse: all of the fault suite (FAULTS_SEED=… repeats a run)
	@FAULTS=full exec $(BIN)/python -m pytest tests/faults $(ARGS)

.PHONY: fuzz
fuzz: $(VENV)/ready ## attack the public port with 100,000 bodies, and with requests that no sender makes
	@FUZZ=$${FUZZ:-100000} exec $(BIN)/python -m pytest tests/fuzz $(ARGS)

.PHONY: attacks
attacks: $(VENV)/ready ## attack it for ATTACK_SECONDS (30) in each way we know, and show what the others felt
	@ATTACK_SECONDS=$${ATTACK_SECONDS:-30} exec $(BIN)/python -m pytest tests/attacks $(ARGS)

.PHONY: soak
soak: $(VENV)/ready ## mixed load with faults for SOAK_SECONDS (600): at the end nothing has grown
	@SOAK_SECONDS=$${SOAK_SECONDS:-600} exec $(BIN)/python -m pytest tests/faults/test_soak.py $(ARGS)

.PHONY: bench
bench: $(VENV)-bench/ready ## measure, beside what this machine can do at best (SCALE=10k, 50k or 100k Warehouses)
	@exec $(VENV)-bench/bin/python -m tests.benchmarks $(ARGS)

.PHONY: e2e
e2e: $(VENV)/ready ## run it deployed: in kind where Docker works, else on a control plane of its own (ARGS=--cluster=…)
	@exec $(BIN)/python -m pytest e2e $(ARGS)

.PHONY: check
check: $(VENV)/supply ## check style, types, the direction of imports, and known vulnerabilities
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	@$(MAKE) audit

.PHONY: audit
audit: $(VENV)/supply ## ask PyPI for known vulnerabilities of what the image is built from
	@$(BIN)/python -m e2e.tools.audit

.PHONY: format
format: $(VENV)/ready ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: image
image: ## build the receiver's image (PYTHON_IMAGE=…: another base image, ARGS=…: more for docker build)
	@command -v docker >/dev/null || { echo "error: no docker found: it builds the image" >&2; exit 1; }
	docker build $(ARGS) $(if $(PYTHON_IMAGE),--build-arg PYTHON=$(PYTHON_IMAGE)) -t kargo-azure-receiver:$(VERSION) .

.PHONY: sbom
sbom: $(VENV)/supply ## write the image's bill of materials (build/sbom.cdx.json)
	@$(BIN)/python -m e2e.tools.sbom

.PHONY: lock
lock: $(VENV)/supply ## bring the locked requirements in line with setup.cfg (ARGS=--upgrade: to the newest)
	$(LOCK) setup.cfg --extra queue -o requirements.lock
	echo 'setuptools>=77' | $(LOCK) - -o requirements-build.lock
LOCK = $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-annotate --python-version 3.11 \
  --custom-compile-command 'make lock' $(ARGS)

.PHONY: dashboard
dashboard: $(VENV)/ready ## write the Grafana dashboard from its program
	@exec $(BIN)/python manifests/components/monitoring/dashboard.py

.PHONY: chart
chart: $(VENV)/ready ## write the chart's table of values and the alerts' links, after a change of values or alerts
	@exec $(BIN)/python -m e2e.tools.chart

.PHONY: tools
tools: $(VENV)/ready ## fetch promtool, Helm and the CRDs of others, for the tests of manifests, chart and alerts
	@exec $(BIN)/python -m e2e.tools

.PHONY: controlplane
controlplane: $(VENV)/ready ## build etcd, kube-apiserver and kubectl, once, and say where they are
	@exec $(BIN)/python -m e2e.controlplane build

.PHONY: clean
clean: ## remove what was made in this folder (the built control plane stays in your cache folder)
	rm -rf $(VENV) $(VENV)-bench .run build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Installed again, in place, whenever the dependencies change.
$(VENV)/ready: setup.cfg pyproject.toml
	@command -v "$(PYTHON)" >/dev/null \
	  || { echo "error: no $(PYTHON) found: install Python 3.11 or newer, or set PYTHON" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "error: $(PYTHON) is $$("$(PYTHON)" -V 2>&1): Python 3.11 or newer is needed (set PYTHON)" >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null \
	  || { echo "error: $(PYTHON) cannot make virtual environments: install python3-venv (Debian, Ubuntu)" >&2; exit 1; }
	@echo "Installing the project and its tools into $(VENV) …"
	@test -x $(BIN)/python || "$(PYTHON)" -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[queue,test,check,dashboard]'
	@touch $@

# Apart, so that the receiver is measured with what its image holds: structlog imports rich where it is there,
# which the tools for checks bring.
$(VENV)-bench/ready: $(VENV)/ready
	@echo "Installing the project for benchmarks into $(VENV)-bench …"
	@test -x $(VENV)-bench/bin/python || "$(PYTHON)" -m venv $(VENV)-bench
	@$(VENV)-bench/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[bench,queue]'
	@touch $@

# Apart: nobody needs these to see it run or to test it.
$(VENV)/supply: $(VENV)/ready
	@echo "Installing the tools for locks, audits and bills of materials …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[supply]'
	@touch $@
