# `make demo` and `make test` each do everything: environment, installation, job.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP_FLAGS ?=
OUTPUT ?= demo-output
RECORDING ?=
PYTEST_FLAGS ?=
WHEEL_FLAGS ?=
# What make install and make demo install; make install EXTRAS=all adds all that is optional.
EXTRAS ?= train,plot
# Tests run in this many processes. Each takes its share in order, so that most files stay in one process, and
# then takes tests from the others.
JOBS ?= 2
PYTEST = -m pytest -n $(JOBS) --dist worksteal
# Benchmarks that measure speed, in minutes; what the others prove, and for how long, is told in docs/experiments.md.
SPEED := import_time renderer_speed env_speed conditions_speed training_speed dagger_round recordings protocol
# What depends on the versions of gymnasium, Stable-Baselines3, imitation, NumPy, OpenCV and python-socketio.
OLDEST_TESTS := tests/udacity_gym/test_env.py tests/udacity_gym/test_vector.py tests/udacity_gym/test_wrappers.py tests/udacity_gym/test_rewards.py \
	tests/udacity_gym/simulators tests/udacity_gym/protocol/test_remote.py tests/udacity_gym/protocol/test_server_robustness.py \
	tests/udacity_gym/protocol/test_golden_frames.py tests/udacity_gym/evaluation tests/algorithms/adapters/test_imitation.py tests/algorithms/adapters/test_adapters_pages.py \
	tests/algorithms/adapters/test_stable_baselines3.py tests/algorithms/adapters/test_sb3_vec_env.py tests/algorithms/test_base.py tests/algorithms/test_preprocessing.py

.DEFAULT_GOAL := help
.PHONY: help install demo test test-all test-oldest test-oldest-torch test-wheel coverage lint types docs format bench clean

help:  ## Show this list.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-17s %s\n", $$1, $$2}'

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: $(BIN)/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt $(PIP_FLAGS) --editable ".[train,plot]"
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt $(PIP_FLAGS) --editable ".[dev]"
	@touch $@

install: $(BIN)/python  ## Create the virtual environment, install the project into it. EXTRAS=all for all extras.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt $(PIP_FLAGS) --editable ".[$(EXTRAS)]"

demo: $(VENV)/installed  ## Record an expert, clone it, drive: the main job. RECORDING=path uses your own laps.
	$(BIN)/udacity-gym demo --output "$(OUTPUT)" $(if $(RECORDING),--recording "$(RECORDING)")

test: $(VENV)/installed-dev  ## Run the quick tests, in minutes.
	$(BIN)/python $(PYTEST) -m "not long" $(PYTEST_FLAGS)

test-all: $(VENV)/installed-dev  ## Run all tests. PYTEST_FLAGS="-m long" runs only the long ones.
	$(BIN)/python $(PYTEST) $(PYTEST_FLAGS)

$(VENV)-oldest/installed: pyproject.toml constraints-oldest.txt
	$(PYTHON) -m venv $(VENV)-oldest
	$(VENV)-oldest/bin/python -m pip install --quiet --disable-pip-version-check -c constraints-oldest.txt $(PIP_FLAGS) --editable ".[imitation,test]"
	@touch $@

test-oldest: $(VENV)-oldest/installed  ## Test what depends on versions with the oldest ones, and with imitation.
	NUMBA_CACHE_DIR=$(abspath $(VENV)-oldest)/kernels $(VENV)-oldest/bin/python $(PYTEST) -W default --disable-warnings -m "not long" $(PYTEST_FLAGS) $(OLDEST_TESTS)

# The oldest torch that pyproject.toml allows; it comes from torch's own index of builds for CPUs.
OLDEST_TORCH := 2.6.0

$(VENV)-oldest-torch/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)-oldest-torch
	$(VENV)-oldest-torch/bin/python -m pip install --quiet --disable-pip-version-check --extra-index-url https://download.pytorch.org/whl/cpu --editable ".[test]" "torch==$(OLDEST_TORCH)"
	@touch $@

test-oldest-torch: $(VENV)-oldest-torch/installed  ## Test the learners with the oldest torch.
	$(VENV)-oldest-torch/bin/python $(PYTEST) -W default --disable-warnings -m "not long" $(PYTEST_FLAGS) tests/algorithms

test-wheel: $(VENV)/installed-dev  ## Build the wheel, install it into empty environments, and use it, in minutes.
	$(BIN)/python .ci/test_wheel.py $(WHEEL_FLAGS)

coverage: $(VENV)/installed-dev  ## Measure which lines and branches the quick tests reach; the report is in build/coverage.
	$(BIN)/python -m coverage erase
	$(BIN)/python -m coverage run -m pytest -m "not long" $(PYTEST_FLAGS)
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage html --quiet
	$(BIN)/python -m coverage report

lint: $(VENV)/installed-dev  ## Check style and format.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/installed-dev  ## Check types of both packages, strictly.
	$(BIN)/mypy

$(VENV)/installed-docs: $(VENV)/installed-dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt $(PIP_FLAGS) --editable ".[docs]"
	@touch $@

docs: $(VENV)/installed-docs  ## Build the documentation site into build/docs; a warning is an error.
	$(BIN)/python -m sphinx --fail-on-warning --keep-going -q -b html docs build/docs

format: $(VENV)/installed-dev  ## Format the code and sort its imports.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/installed-dev  ## Run every benchmark of speed once and print its figures.
	@for name in $(SPEED); do echo "== $$name"; $(BIN)/python benchmarks/$$name.py || exit 1; done

clean:  ## Remove the virtual environment and caches, never recordings or results.
	rm -rf $(VENV) $(VENV)-oldest $(VENV)-oldest-torch .mypy_cache .ruff_cache .pytest_cache .hypothesis
