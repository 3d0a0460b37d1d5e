# make demo: installs what stylizing needs and repaints examples/astronaut.jpg
# make test: installs the train, ray and test extras, then lint, format, types and tests; this is what CI runs
# make fuzz: 10,000 hostile photos and command lines; make faults: kills, full disks, two processes, a clock that jumps
# make clean: removes what these made
# PYTHON=python3.12 make ... chooses an interpreter.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
REQUIREMENTS := pyproject.toml constraints.txt
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test fuzz faults clean

demo: $(VENV)/.installed
	$(BIN)/python stylize.py --input examples/astronaut.jpg --output out/astronaut.png --force

test: $(VENV)/.installed-for-tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest

fuzz: $(VENV)/.installed-for-tests
	$(BIN)/python -m tests.fuzz.run --count 10000

faults: $(VENV)/.installed-for-tests
	JAX_PLATFORMS=cpu $(BIN)/python -m tests.faults.run --times 100

# Stamps: each install is repeated only when the requirements change.
$(VENV)/.installed: $(REQUIREMENTS) | $(BIN)/pip
	$(INSTALL) --editable .
	@touch $@

$(VENV)/.installed-for-tests: $(REQUIREMENTS) | $(BIN)/pip
	$(INSTALL) --editable '.[train,ray,test,video]'
	@touch $@ $(VENV)/.installed

$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "emojax needs Python 3.11 or later: name one, as in PYTHON=python3.12 make $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
		{ echo "$(PYTHON) cannot make a virtual environment: on Debian and Ubuntu install python3-venv" >&2; exit 1; }

clean:
	rm -rf $(VENV) build dist out *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
