# make demo: installs what stylizing needs and repaints examples/astronaut.jpg
# make test: installs the train, ray and test extras, then lint, format, types and tests; this is what CI runs
# make test-python, make test-web: its two parts; the second tests the page of emojax web where there is a Chromium
# make fuzz: 10,000 hostile photos and command lines; make faults: kills, full disks, two processes, a clock that jumps
# make clean: removes what these made
# PYTHON=python3.12 make ... chooses an interpreter.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
REQUIREMENTS := pyproject.toml constraints.txt
WEB := $(shell command -v chromium >/dev/null && command -v chromedriver >/dev/null && echo $(VENV)-web/.installed)
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test test-python test-web fuzz faults clean

demo: $(VENV)/.installed
	$(BIN)/python stylize.py --input examples/astronaut.jpg --output out/astronaut.png --force

# Its two parts run side by side, because the second mostly waits; what it says comes last. They are installed one by one,
# because both write emojax.egg-info.
test:
	@$(MAKE) --no-print-directory --jobs 1 $(VENV)/.installed-for-tests $(WEB)
	@$(MAKE) --no-print-directory --jobs 2 --keep-going test-python test-web WEB_LOG=$(VENV)/web-tests.log; \
		status=$$?; cat $(VENV)/web-tests.log; exit $$status

test-python: $(VENV)/.installed-for-tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest

# In an environment of its own: Gradio needs an older Pillow than the other tests have.
test-web: $(WEB)
ifdef WEB
	$(VENV)-web/bin/python -m pytest --numprocesses 0 tests/test_web.py tests/test_web_browser.py $(if $(WEB_LOG),>$(WEB_LOG) 2>&1)
else
	@echo "emojax web is not tested: there is no chromium with its chromedriver" $(if $(WEB_LOG),>$(WEB_LOG))
endif

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

$(VENV)-web/.installed: $(REQUIREMENTS)
	$(PYTHON) -m venv $(VENV)-web
	grep -v '^pillow==' constraints.txt >$(VENV)-web/constraints.txt
	$(VENV)-web/bin/python -m pip install --quiet --disable-pip-version-check \
		--constraint $(VENV)-web/constraints.txt --editable '.[web,test]'
	@touch $@

$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "emojax needs Python 3.11 or later: name one, as in PYTHON=python3.12 make $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
		{ echo "$(PYTHON) cannot make a virtual environment: on Debian and Ubuntu install python3-venv" >&2; exit 1; }

clean:
	rm -rf $(VENV) $(VENV)-web build dist out *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
