PYTHON3 ?= python3
VENV := .venv
PYTHON := $(VENV)/bin/python
# Newer than the two files that say what to install, once everything is installed.
STAMP := $(VENV)/installed

BENCH_ARGS ?= --suite bundled

.PHONY: demo test test-oldest wheel-test lint docs check-docs bench clean

demo: $(STAMP)
	$(PYTHON) examples/plot_open_set_digits.py

# Each of the two workers has a half of the tests, so that few prepare the same twice.
test: $(STAMP)
	$(PYTHON) -m pytest -n 2 --dist worksteal

# With the oldest versions that pyproject.toml accepts: downloads a torch of several GB.
test-oldest: $(VENV)-oldest/installed
	$(VENV)-oldest/bin/python -m pytest -n 2

# What users install: builds it, and tests it in an empty environment, away from this folder.
wheel-test: $(STAMP)
	PYTHON=$(PYTHON) PYTHON3=$(PYTHON3) .ci/wheel

lint: $(STAMP)
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy
	$(VENV)/bin/lint-imports --no-cache --no-logo
	$(PYTHON) -m pytest -q tests/test_docs.py -k docstring

# Runs every example of the gallery. One thread each: small networks gain nothing by more.
docs: $(STAMP)-docs
	MPLBACKEND=Agg OMP_NUM_THREADS=1 $(PYTHON) -m sphinx -b html -W --keep-going -q \
		docs docs/_build/html
	@echo "The pages are in docs/_build/html: open index.html"

# In Chromium, which it takes from the system, with chromedriver.
check-docs: docs
	$(PYTHON) docs/check_site.py docs/_build/html

bench: $(STAMP)-bench
	$(PYTHON) -m benchmarks.open_set $(BENCH_ARGS)

clean:
	rm -rf $(VENV) $(VENV)-oldest build dist docs/_build docs/auto_examples docs/generated \
		*.egg-info .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): pyproject.toml constraints.txt
	@echo "Installing sk_center and its tools into $(VENV): a few minutes the first time"
	@$(PYTHON3) -m venv $(VENV)
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check \
		--editable ".[dev]" --constraint constraints.txt
	@touch $@

$(VENV)-oldest/installed: pyproject.toml constraints-oldest.txt
	@$(PYTHON3) -m venv $(VENV)-oldest
	@$(VENV)-oldest/bin/python -m pip install --quiet --disable-pip-version-check \
		--editable ".[test]" --constraint constraints-oldest.txt
	@touch $@

$(STAMP)-docs: $(STAMP)
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check \
		--editable ".[docs]" --constraint constraints.txt
	@touch $@

$(STAMP)-bench: $(STAMP)
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check \
		--editable ".[bench]" --constraint constraints.txt
	@touch $@
