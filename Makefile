PYTHON3 ?= python3
VENV := .venv
PYTHON := $(VENV)/bin/python
# Newer than the two files that say what to install, once everything is installed.
STAMP := $(VENV)/installed

BENCH_ARGS ?= --suite bundled

.PHONY: demo test test-oldest lint bench clean

demo: $(STAMP)
	$(PYTHON) examples/plot_open_set_digits.py

test: $(STAMP)
	$(PYTHON) -m pytest -n 2

# With the oldest versions that pyproject.toml accepts: downloads a torch of several GB.
test-oldest: $(VENV)-oldest/installed
	$(VENV)-oldest/bin/python -m pytest -n 2

lint: $(STAMP)
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m pytest -q tests/test_docs.py -k docstring

bench: $(STAMP)-bench
	$(PYTHON) -m benchmarks.open_set $(BENCH_ARGS)

clean:
	rm -rf $(VENV) $(VENV)-oldest build dist *.egg-info .pytest_cache .ruff_cache
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

$(STAMP)-bench: $(STAMP)
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check \
		--editable ".[bench]" --constraint constraints.txt
	@touch $@
