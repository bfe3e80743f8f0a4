# make demo | test | faults | lint | types | check | benchmark | leaderboard | clean
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= python3
SEED ?= 0
OUT ?= runs/demo$(if $(filter-out 0,$(SEED)),-s$(SEED))
WORKERS ?= auto

.PHONY: demo test faults lint types check benchmark leaderboard clean

demo: $(VENV)/.installed
	$(BIN)/n2n compress --teacher conv4 --dataset digits --seed $(SEED) --out $(OUT)

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

# The committed benchmark, from nothing: the package's algorithms, and those that were submitted
benchmark: $(VENV)/.installed
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

clean:
	rm -rf $(VENV) runs
