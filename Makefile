# Two commands for a fresh clone, each with its own set-up in .venv:
#
#   make demo    the whole main job, offline, on digits it draws itself
#   make test    the tests
#
# and for those who change things: make check (format, lint, types, tests), make test-wheel (some of
# them against the built wheel), make docs (write docs/cli.md anew), make startup (measure what
# dsets costs before it does anything), make table (measured numbers, for the README), make clean.

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready
# Tests start processes of their own; one thread in each keeps them from spinning for a core.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest -q
WHEEL := cli codecs manifest models pack pipelines

.PHONY: demo test check lint types test-wheel docs startup table clean

demo: $(READY)
	$(BIN)/dsets demo

test: $(READY)
	$(PYTEST)

check: lint types test

lint: $(READY)
	$(BIN)/ruff format --check
	$(BIN)/ruff check

types: $(READY)
	$(BIN)/mypy

# The wheel takes the editable install's place for this run, so no file of the tree can stand in for
# one that the wheel forgot; the next `make` of anything puts the editable install back. Only tests
# that reach data, commands and the extension: what the code does, `make test` has shown already.
test-wheel: $(READY)
	rm -rf dist
	$(BIN)/python -m build --outdir dist
	rm -f $(READY)
	$(BIN)/pip install -q --force-reinstall --no-deps dist/dsets-*.whl
	PYTHONSAFEPATH=1 $(PYTEST) tests/test_*.py $(addprefix tests/,$(WHEEL))

docs: $(READY)
	$(BIN)/python docs/write_cli.py

startup: $(READY)
	$(BIN)/python benchmarks/startup.py --save

table: $(READY)
	$(BIN)/python benchmarks/table.py

# The first Python from 3.11 on that runs; the stamp is newer than what the installation is made of.
$(READY): pyproject.toml constraints.txt setup.py $(wildcard dsets/native/*)
	@set -e; found=; \
	for python in "$(PYTHON)" python3 python3.13 python3.12 python3.11; do \
	  if [ -n "$$python" ] && "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; \
	  then found=$$python; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
	  echo "dsets needs Python 3.11 or newer, and none of python3, python3.13, python3.12, python3.11 is;" >&2; \
	  echo "install one, or name it: make PYTHON=/path/to/python3" >&2; exit 1; \
	fi; \
	echo "setting up $(VENV) with $$("$$found" --version) (once; a minute or a few)"; \
	"$$found" -m venv $(VENV)
	$(BIN)/python -m pip install -q --upgrade -c constraints.txt pip setuptools
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[torch]' --group dev
	@$(BIN)/python -c 'import os; from dsets import extension as e; print( \
	  "extension: built, with its JPEG half" if e.jpeg else \
	  "extension: left out, as DSETS_EXTENSION=0 says; slower, with the same results" \
	  if os.environ.get("DSETS_EXTENSION") == "0" else \
	  ("extension: built without its JPEG half" if e.native else "extension: not built, no C compiler") \
	  + "; slower, with the same results (Debian: apt-get install gcc libjpeg62-turbo-dev)")'
	@touch $@

clean:
	rm -rf $(VENV) build dist demo *.egg-info dsets/*.so .mypy_cache .ruff_cache .pytest_cache .hypothesis
