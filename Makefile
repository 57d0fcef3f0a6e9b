# Every target goes from a fresh clone to a result: the environment is made and filled when it is missing or out of date.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PARALLEL ?= 3# processes; more than two cores' worth, because much of the suite waits, for stalled hubs and frozen workers

KERNELS := pipelines tokenizer mixer  # the folders that hold compiled functions

.PHONY: help demo check types test test-quick fuzz mutations coverage test-lowest test-newest stale docs wheel format clean

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: $(READY)  ## build, verify and train on the bundled sample
	$(BIN)/gpts-data demo --out demo

check: $(READY) types  ## ruff and mypy strict
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(READY)  ## mypy, strict for the package; for the tests see [tool.mypy] in pyproject.toml
	rm -rf build/types
	$(BIN)/pip install -q --no-deps --no-build-isolation --target build/types .
	MYPYPATH=build/types $(BIN)/mypy -p gpts_data
	MYPYPATH=build/types:. $(BIN)/mypy -p tests

stale:  ## remove compiled kernels older than the newest source: numba compares only a kernel's own file, not those it calls
	@newest=$$(find $(KERNELS) -name '*.py' -printf '%T@ %p\n' | sort -rn | head -1 | cut -d" " -f2); find $(KERNELS) -name '*.nb[ic]' ! -newer $$newest -delete

test: $(READY) stale  ## the whole test suite
	$(BIN)/pytest -n $(PARALLEL) --dist loadfile

test-quick: $(READY) stale  ## the tests that are not marked slow: under three minutes on two cores
	$(BIN)/pytest -n $(PARALLEL) --dist loadfile -m "not slow"

fuzz: $(READY) stale  ## hostile manifests, recipes, tokenizers, runs and files, for hours: EXAMPLES=5000 of each property
	EXAMPLES=$${EXAMPLES:-5000} $(BIN)/pytest -n $(PARALLEL) --dist load -o timeout=0 -o faulthandler_timeout=0 $$(find tests -name 'test_hostile_*.py')

mutations: $(READY)  ## do the tests notice single faults in the modules that carry the guarantees? hours; MODULES= for some
	$(BIN)/python -m benchmarks.mutations $(MODULES)

coverage: $(READY)  ## the quick tests, with the lines that they do not reach; kernels are compiled, so theirs do not count
	$(BIN)/pytest -n $(PARALLEL) --dist loadfile -m "not slow" --cov --cov-report=term-missing:skip-covered

test-lowest: $(READY)  ## build, verify and train the sample with the lowest versions that pyproject.toml allows
	.ci/try-versions lowest

test-newest: $(READY)  ## the same with the newest
	.ci/try-versions newest

docs: $(READY)  ## the site, from docs/ into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

wheel: $(READY)  ## wheel and source archive in dist/, after the tests of packaging
	$(BIN)/pytest tests/test_packaging.py
	rm -rf dist
	$(BIN)/python -m build --no-isolation --outdir dist

format: $(READY)  ## mend what check would complain about
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q -c constraints.txt setuptools torch==2.13.0
	$(BIN)/pip install -q -c constraints.txt --no-build-isolation -e ".[train,eval,dev]"
	touch $@

clean:  ## remove all that make makes
	rm -rf $(VENV) build demo dist site .coverage *.egg-info
