# Everything lives in virtual environments beside this file; the first command that needs one makes it.
PYTHON ?= python3
VENV := .venv
OLDEST := .venv-oldest
BENCH := .venv-bench
CONFORMANCE := .venv-conformance
BIN := $(VENV)/bin
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check
# Much of a test is waiting, so three run at a time on two cores; those of which the moments are the case run alone.
AT_ONCE ?= 3
PYTEST_ALL = $(1)/python -m pytest -n $(AT_ONCE) --dist loadgroup -m "not timing" && \
	$(1)/python -m pytest -m timing $(shell grep -rl mark.timing tests --include 'test_*.py')

.PHONY: demo lab pictures states docs notebooks test test-quick test-oldest test-each conformance conformance-oldest soak bench lint types coverage dist smoke help clean

help:  ## say what can be made
	@sed -n 's/^\([a-z-]*\):.*##/\1:/p' $(MAKEFILE_LIST) | column -t -s: -l 2

demo: $(VENV)/.notebook  ## run the quick start in a real kernel and watch it restart
	$(BIN)/python notebooks/play.py notebooks/quickstart.ipynb

lab: $(VENV)/.lab  ## open the quick start in JupyterLab, the other notebooks beside it
	$(BIN)/jupyter lab $(if $(filter 0,$(shell id -u)),--allow-root) notebooks/quickstart.ipynb

pictures: $(VENV)/.dev  ## make the README's pictures anew
	$(BIN)/python tests/browser/pictures.py pictures

states: $(VENV)/.dev  ## take a picture of each state, light and dark, to look at
	$(BIN)/python tests/browser/states.py build/states

docs: $(VENV)/.dev  ## build the site into build/docs; a broken link is an error
	$(BIN)/python docs/generated.py
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet docs build/docs

notebooks: $(VENV)/.dev  ## play the notebooks, for the site to show them with their outputs
	for notebook in notebooks/*.ipynb; do $(BIN)/python notebooks/play.py $$notebook --into docs/notebooks || exit; done

test: $(VENV)/.dev  ## run all tests (AT_ONCE=3)
	$(call PYTEST_ALL,$(BIN))

test-quick: $(VENV)/.dev  ## run the tests that need no kernel
	$(BIN)/python -m pytest -n 2 -m "not e2e"

test-oldest: $(OLDEST)/.dev  ## run all tests with the oldest supported versions
	$(call PYTEST_ALL,$(OLDEST)/bin)

test-each:  ## run all tests with other Pythons (PYTHONS="python3.12 python3.13")
	for python in $(PYTHONS); do $(MAKE) test PYTHON=$$python VENV=.venv-$$(basename $$python) || exit; done

conformance: $(CONFORMANCE)/.conformance  ## run CPython's tests as scripts (MODULES="json os"), and Jupyter's on restarted kernels (ONLY=nbclient)
conformance-oldest: $(CONFORMANCE)-oldest/.conformance  ## the same with ipykernel 6.29.0
conformance conformance-oldest:
	$(if $(ONLY),,$(<D)/bin/python tests/conformance/cpython.py $(MODULES))
	$(<D)/bin/python tests/conformance/suites.py $(ONLY) $(if $(KERNELS),--on $(KERNELS))

# RESTARTS of each target; edits go on for a fifth as many seconds, and 30 times as many lines are typed.
RESTARTS ?= 1000
soak: $(VENV)/.dev  ## faults and load for hours (RESTARTS=1000 of each target), random edits and kills, any line typed
	IPY_AUTORESTART_TEST_RESTARTS=$(RESTARTS) $(BIN)/python -m pytest -rA tests/soak tests/kernel tests/program \
		-k "soak or load or many_restarts or stay_flat"

bench: $(BENCH)/.bench  ## measure this beside others, for docs/measured.md (ROUNDS=3 TORCH=torch NODEMON=path/to/nodemon ONLY="counts trees")
	$(if $(TORCH),$(BENCH)/bin/python $(PIP_INSTALL) '$(TORCH)')
	$(BENCH)/bin/python tests/benchmarks --into docs/figures $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(NODEMON),--nodemon $(NODEMON)) $(ONLY)

lint: $(VENV)/.dev  ## check style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev  ## check types
	$(BIN)/mypy

coverage: $(VENV)/.dev  ## run all tests and report what they reach, in every process
	rm -f .coverage*
	$(BIN)/python -m coverage run -m pytest
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report

dist: $(VENV)/.dev  ## build what is published, into dist/
	rm -rf dist
	$(BIN)/python -m build
	$(BIN)/python -m twine check --strict dist/*

smoke: dist  ## install the wheel where nothing else is, newest and oldest, and play the quick start (ONLY=oldest)
	$(BIN)/python tests/smoke.py $(ONLY)

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.notebook: $(VENV)/bin/python pyproject.toml
	$(BIN)/python $(PIP_INSTALL) --editable '.[demo]'
	touch $@

$(VENV)/.lab: $(VENV)/bin/python pyproject.toml
	$(BIN)/python $(PIP_INSTALL) --editable '.[all,examples]'
	touch $@

$(VENV)/.dev: $(VENV)/bin/python pyproject.toml
	$(BIN)/python $(PIP_INSTALL) --editable '.[dev]'
	touch $@

$(OLDEST)/.dev: pyproject.toml
	$(PYTHON) -m venv $(OLDEST)
	$(OLDEST)/bin/python $(PIP_INSTALL) --editable '.[test]' 'ipython==8.20.*' 'ipykernel==6.29.0' 'watchdog==6.0.*' \
		'distributed==2024.8.*' 'ipyparallel==8.8.*' 'ipywidgets==8.0.*'
	touch $@

$(CONFORMANCE)-oldest/.conformance: PINS := 'ipython==8.20.*' 'ipykernel==6.29.0' 'debugpy<1.8.3' 'pytest<8'
$(CONFORMANCE)/.conformance $(CONFORMANCE)-oldest/.conformance: pyproject.toml tests/conformance/pyproject.toml
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python $(PIP_INSTALL) --editable '.[demo]' --editable tests/conformance $(PINS)
	touch $@

$(BENCH)/.bench: pyproject.toml
	$(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/python $(PIP_INSTALL) --editable '.[bench]'
	touch $@

clean:  ## remove all that was made
	rm -rf .venv .venv-* .coverage* .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist
