# Nodeseal.  `make help` lists the targets; each does the set-up that it needs.
VENV := .venv
PY := $(VENV)/bin/python
SHIPPING := build/image.py build/push.py build/runtime.py
SOURCES := $(shell find agent -name '*.py') build/nodeseal.spec $(filter-out $(SHIPPING),$(wildcard build/*.py))
PROGRAM := out/nodeseal
# The tests start some thousand processes: without bytecode each would compile all that it imports.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help dev build build-portable image push demo collect test test-full hostile fuzz soak soak-cluster soak-install lint fix bench lock clean
.DEFAULT_GOAL := help

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/^([a-z-]+):.*## /  \1\t/' | expand -t 16

$(VENV)/.stamp: requirements/runtime.txt requirements/dev.txt build/bootstrap.sh
	@sh build/bootstrap.sh $(VENV) requirements/dev.txt
	@touch $@

dev: $(VENV)/.stamp ## virtual environment with the locked dependencies

out/nodeseal/.stamp: $(VENV)/.stamp $(SOURCES) LICENSE
	@$(PY) build/freeze.py out
	@touch $@

build: out/nodeseal/.stamp ## the frozen program, out/nodeseal/, and the oldest glibc it runs on
	@$(PY) build/glibc.py out/nodeseal

out/portable/nodeseal/.stamp: $(VENV)/.stamp $(SOURCES) LICENSE
	@$(PY) build/freeze.py out/portable --portable
	@touch $@

build-portable: out/portable/nodeseal/.stamp ## a program for older systems, in out/portable: glibc 2.34 (RHEL 9, Ubuntu 22.04)

image: $(PROGRAM)/.stamp ## the container image, an OCI layout in out/image; PROGRAM=out/portable/nodeseal for older nodes
	@$(PY) build/image.py $(PROGRAM) out/image

push: image ## push the image, and write its digest into daemonset.yaml and its patch; REGISTRY=registry.example.com/nodeseal
	@$(PY) build/push.py "$(REGISTRY)"

demo: out/nodeseal/.stamp ## the main job, on a real containerd where root and Debian's tools are there
	@$(PY) -m tests.demo

collect: $(VENV)/.stamp ## find every test, and run none; what pytest makes of their text is made once, not by each of its workers
	@mkdir -p .cache
	@$(PY) -m pytest -q --collect-only > .cache/collected.txt || { cat .cache/collected.txt; exit 1; }

test: out/nodeseal/.stamp ## all tests, those on the real containerd included
	@$(PY) -m coverage erase
	@$(PY) -m coverage run -m pytest -q -n 4 --dist loadfile --no-loadscope-reorder --ignore=tests/full
	@$(PY) -m coverage combine -q
	@$(PY) -m coverage report --format=total | sed 's/^/branch coverage of agent, percent: /'
	@$(PY) -m coverage report > .cache/coverage.txt || { cat .cache/coverage.txt; exit 1; }

test-full: out/nodeseal/.stamp ## the slow tests: two builds alike, the demonstration in fresh copies, as root and as an ordinary user
	@$(PY) -m pytest -q -n 3 --dist loadfile --no-loadscope-reorder tests/full

hostile: out/nodeseal/.stamp ## bad input of every kind, with the time and memory that it takes; figures into docs/performance.md
	@$(PY) -m pytest -q tests/hostile
	@$(PY) -m tests.hostile

fuzz: $(VENV)/.stamp ## fuzz what reads bytes from outside; SECONDS=60 for each, TARGET=... for one; findings into out/fuzz
	@$(PY) -m tests.fuzz $(TARGET) --seconds $(or $(SECONDS),60)

soak: out/nodeseal/.stamp ## pulls without a pause while configurations change; MINUTES=10; figures into docs/performance.md
	@$(PY) -m tests.soak $(or $(MINUTES),10)

soak-cluster: out/nodeseal/.stamp ## many simulated nodes follow a real API server; NODES=500; figures into docs/performance.md
	@$(PY) -m tests.soak.cluster --nodes $(or $(NODES),500)

soak-install: out/nodeseal/.stamp ## installed and uninstalled a thousand times, without drift; ROUNDS=1000; figures into docs/performance.md
	@$(PY) -m tests.soak.installs $(or $(ROUNDS),1000)

lint: $(VENV)/.stamp ## every gate: ruff, mypy, import contracts, docstrings, spelling
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	$(VENV)/bin/interrogate agent
	$(VENV)/bin/codespell agent build docs tests Makefile README.md CONTRIBUTING.md CHANGELOG.md SECURITY.md

fix: $(VENV)/.stamp ## let ruff mend what it can
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

bench: out/nodeseal/.stamp ## speed and memory as ratios in one run, into docs/performance.md; FAMILIES="child delay" for some
	@$(PY) -m tests.bench $(FAMILIES)

lock: $(VENV)/.stamp ## resolve the dependencies anew, with hashes
	@$(PY) -m pip install --quiet uv
	@$(VENV)/bin/uv pip compile -q --universal --generate-hashes --python-version 3.11 --no-emit-index-url --no-annotate \
	    --no-header --upgrade pyproject.toml -o requirements/runtime.txt
	@$(VENV)/bin/uv pip compile -q --universal --generate-hashes --python-version 3.11 --no-emit-index-url --no-annotate \
	    --no-header --upgrade pyproject.toml --group test --group lint --group build --group fuzz -c requirements/runtime.txt \
	    -o requirements/dev.txt
	@$(VENV)/bin/uv pip compile -q --universal --generate-hashes --python-version 3.11 --no-emit-index-url --no-annotate \
	    --no-header --upgrade --group oracle -o requirements/oracle.txt

clean: ## remove what make made in this folder
	rm -rf $(VENV) .cache out .coverage .coverage.* .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
