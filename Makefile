# make demo | quick | test | faults | lint | types | check | docs | notebooks | benchmark | leaderboard | clean
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= python3
SEED ?= 0
OUT ?= runs/demo$(if $(filter-out 0,$(SEED)),-s$(SEED))
WORKERS ?= auto

.PHONY: demo quick test faults lint types check docs notebooks benchmark leaderboard clean

demo: $(VENV)/.installed
	$(BIN)/n2n compress --teacher conv4 --dataset digits --seed $(SEED) --out $(OUT)

# A test of everything important, in under 90 seconds on two free cores
quick: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal @envs_tests/quick.txt

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal --durations=15

# Everything that can go wrong, the slow rows too (docs/reliability.md)
faults: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal --durations=15 -m "faults or not faults" envs_tests/faults

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-dev
	$(BIN)/mypy
	$(BIN)/mypy benchmarks

check: lint types test

# The documentation as a site, in site/; a warning is an error
docs: $(VENV)/.installed-docs
	$(BIN)/python docs/site/pictures.py
	$(BIN)/python docs/site/paper.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

# The notebooks with their outputs, made from the programs beside them
notebooks: $(VENV)/.installed-dev
	$(BIN)/python docs/site/notebooks.py

# The committed benchmark, from nothing: the package's algorithms, and those that were submitted
benchmark: $(VENV)/.installed-dev
	$(BIN)/n2n benchmark --agents all benchmarks/algorithms/*.py --out runs/benchmark
	mkdir -p benchmarks/results/agents
	cp runs/benchmark/agents/*.json benchmarks/results/agents/
	$(MAKE) leaderboard

leaderboard: $(VENV)/.installed
	$(BIN)/n2n benchmark report benchmarks/results/agents/*.json --out benchmarks

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	@echo "installing the package, with PyTorch: a minute or two"
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/.installed-dev: pyproject.toml | $(BIN)/python
	@echo "installing the package with what its tests need: a minute or two"
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	touch $@ $(VENV)/.installed

$(VENV)/.installed-docs: pyproject.toml | $(BIN)/python
	@echo "installing the package with what its documentation needs: a minute or two"
	$(BIN)/python -m pip install --quiet --editable ".[docs]"
	touch $@ $(VENV)/.installed

clean:
	rm -rf $(VENV) runs site
