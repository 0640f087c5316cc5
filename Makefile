# Everything installs what it needs by itself, into .venv; see tools/bootstrap.
SHELL := /bin/sh
.DEFAULT_GOAL := help
PYTHON := .venv/bin/python
PYTEST := $(PYTHON) -m pytest
# As many processes as there are cores, each with a database server of its own; what has many processes itself runs alone,
# and ends before the next begins.
BESIDE := -n auto --dist loadfile
ALONE := tests/airflow tests/demo tests/kubernetes
unexport PYTHONDONTWRITEBYTECODE
unexport PYTHONPATH
unexport VIRTUAL_ENV

.PHONY: help install check lint types contracts unit kubernetes test wheel demo demo-reset demo-kube demo-kube-reset soak bench bench-transfer format reference

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

install: ## what the lock file says, into .venv
	@tools/bootstrap

check: install lint types contracts unit ## the quick part: lint, types, import contracts, unit tests

lint: install
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .

types: install
	$(PYTHON) -m mypy provider plugins tools

contracts: install
	.venv/bin/lint-imports --no-cache

unit: install
	$(PYTEST) -q $(BESIDE) tests/unit

kubernetes: install ## the Kubernetes that the tests run on, and the judges of policies and logs, built once from their Go modules
	@$(PYTHON) -m tests.support.kubernetes.binary
	@$(PYTHON) -m tests.support.kubernetes.policies
	@$(PYTHON) -m tests.support.ledger

test: check kubernetes ## every gate: check, then all suites on real parts, the demo, and the built wheel
	$(PYTEST) $(BESIDE) tests -m "not soak" $(addprefix --ignore ,tests/unit tests/wheel $(ALONE))
	$(foreach suite,$(ALONE),$(PYTEST) $(suite) -m "not soak" &&) true
	$(MAKE) --no-print-directory wheel
	@echo "make test: every gate passed"

wheel: install ## build the wheel and run suites against it alone
	rm -rf dist
	$(PYTHON) -m build --wheel --no-isolation --outdir dist .
	$(PYTEST) -q tests/wheel

soak: install ## long campaigns: thousands of kills, millions of rows
	$(PYTEST) tests -m soak --timeout 0

bench: install ## the life cycle over REST against a bare FastAPI + SQL floor; see benchmarks/README.md
	$(PYTHON) -m benchmarks.lifecycle $(ARGS)

bench-transfer: install ## the agent under grants against bare boto3, on a throw-away S3 server
	$(PYTHON) -m benchmarks.transfer $(ARGS)

format: install ## format and mend what can be mended
	$(PYTHON) -m ruff format .
	$(PYTHON) -m ruff check --fix .

demo: install ## from nothing to a promoted model on this machine; ONCE=1 stops after the summary
	@$(PYTHON) -m demo up $(if $(ONCE),--once)

demo-reset: install ## remove everything that the demo has kept
	@$(PYTHON) -m demo reset

# Only what is given on the command line: a KUBECONFIG of the environment may lead anywhere.
demo-kube: install ## the same in pods of a throw-away cluster, as root on Debian; or KUBECONFIG=FILE REGISTRY=HOST:PORT
	@$(PYTHON) -m demo up --kube $(if $(ONCE),--once) \
	  $(if $(filter command,$(firstword $(origin KUBECONFIG))),--kubeconfig "$(KUBECONFIG)") $(if $(REGISTRY),--registry "$(REGISTRY)")

demo-kube-reset: install ## remove everything that demo-kube has kept
	@$(PYTHON) -m demo reset --kube

reference: install ## write the reference pages that follow from the code, the OpenAPI document among them
	$(PYTHON) -m tools.reference
