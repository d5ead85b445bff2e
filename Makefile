# `make` lists what it can do. Only python3 (3.11 or newer, with venv) and make are needed; everything else goes into .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
TEST_WORKERS ?= 4

.DEFAULT_GOAL := help
.PHONY: help install demo test test-slow test-browser faults simulation fuzz lint bench-throughput bench-nab bench-skab bench-alert-budget bench-algorithms bench-sensor-health bench-reasons bench-forecast bench-outage bench-flash-writes clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-20s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(INSTALLED) ## make .venv with agent, hub, demo and everything the tests need

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, $(PYTHON) is %d.%d: make PYTHON=python3.12" % sys.version_info[:2])'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV), about a minute ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: install ## watch a simulated plant; DEMO_SECONDS=60 ends it, DEMO_BROKER=amqtt does without Mosquitto
	@exec $(BIN)/python -m examples.demo

test: install ## run the tests, four at a time: they wait more than they work; TEST_WORKERS=0 runs one after the other
	@exec $(BIN)/python -m pytest --numprocesses $(TEST_WORKERS) --dist worksteal

test-slow: install ## run the tests that `make test` leaves out and `make faults` does not run: whole examples, long histories
	@exec $(BIN)/python -m pytest --numprocesses $(TEST_WORKERS) --dist worksteal -m "slow and not fault and not browser"

test-browser: install ## drive the console in Chromium, check it with axe, and take the pictures in docs/ anew
	@PICTURES=$${PICTURES-docs} exec $(BIN)/python -m pytest --numprocesses 0 -m browser tests/browser

faults: install ## bring about every fault of docs/reliability.md, and print what became of each; takes a quarter of an hour
	@FAULTS_LONG=1 exec $(BIN)/python -m pytest --numprocesses $(TEST_WORKERS) --dist worksteal -m fault \
	    $$(grep --recursive --files-with-matches --include='test_*.py' 'mark\.fault(' tests)

simulation: install ## three thousand bad days of gateway, brokers and hub in virtual time; takes a quarter of an hour
	@SIMULATION_SEEDS=3000 exec $(BIN)/python -m pytest --numprocesses $(TEST_WORKERS) -m fault tests/simulation/test_simulation.py

fuzz: install ## a million mutants of models: each is refused, or is a model; takes half an hour
	@FUZZ_LONG=1 exec $(BIN)/python -m pytest -s -m fault tests/faults/test_hostile_mutants.py

lint: install ## ruff, mypy --strict, and the contracts between the packages
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

bench-throughput: install ## CPU per reading beside a bare aiomqtt loop, against a real Mosquitto
	@exec $(BIN)/python -m benchmarks.throughput

bench-nab: install ## detection on the Numenta corpus: DATA=its folder
	@exec $(BIN)/python -m benchmarks.nab $(DATA)

bench-skab: install ## detection on SKAB, several channels of one machine: DATA=its folder
	@exec $(BIN)/python -m benchmarks.skab $(DATA)

bench-alert-budget: install ## false alerts and recall for budgets set on other categories: DATA=folder of the Numenta corpus
	@exec $(BIN)/python -m benchmarks.alert_budget $(DATA)

bench-algorithms: install ## every detector on generated fleets, beside scikit-learn
	@exec $(BIN)/python -m benchmarks.algorithms

bench-sensor-health: install ## faults of sensors put into simulated devices
	@exec $(BIN)/python -m benchmarks.sensor_health

bench-reasons: install ## whether an alert names the channel that is at fault first
	@exec $(BIN)/python -m benchmarks.reasons

bench-forecast: install ## accuracy, band and changes found by forecasts; DATA=folder adds the Numenta corpus
	@exec $(BIN)/python -m benchmarks.forecast $(DATA)

bench-outage: install ## a week without the hub, an alert a second from devices of their own, and how fast it is made up for
	@exec $(BIN)/python -m benchmarks.outage

bench-flash-writes: install ## bytes that the agent writes to the disk in a day; takes half an hour
	@exec $(BIN)/python -m benchmarks.flash_writes

clean: ## remove what make has made, .venv included
	rm -rf $(VENV) .demo build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
