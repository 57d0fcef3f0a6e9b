# Every target goes from a fresh clone to a result: the environment is made and filled when it is missing or out of date.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

KERNELS := pipelines tokenizer mixer  # the folders that hold any

.PHONY: demo check test stale docs format clean

demo: $(READY)  ## build, verify and train on the bundled sample
	$(BIN)/gpts-data demo --out demo

check: $(READY)  ## ruff and mypy strict
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	rm -rf build/types
	$(BIN)/pip install -q --no-deps --no-build-isolation --target build/types .
	MYPYPATH=build/types $(BIN)/mypy -p gpts_data

stale:  ## compiled kernels older than the newest source: numba looks at a kernel's own file, not at those it calls
	@newest=$$(find $(KERNELS) -name '*.py' -printf '%T@ %p\n' | sort -rn | head -1 | cut -d" " -f2); find $(KERNELS) -name '*.nb[ic]' ! -newer $$newest -delete

test: $(READY) stale  ## the whole test suite: much of it waits, for stalled hubs and frozen workers
	$(BIN)/pytest -n 3 --dist loadfile

docs: $(READY)  ## the site, from docs/ into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

format: $(READY)  ## what check would complain about, mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q -c constraints.txt setuptools torch==2.13.0
	$(BIN)/pip install -q -c constraints.txt --no-build-isolation -e ".[train,eval,dev]"
	touch $@

clean:  ## all that make makes
	rm -rf $(VENV) build demo site *.egg-info
