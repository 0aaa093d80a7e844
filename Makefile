# The two commands anyone needs: make demo, make test. PYTHON picks the interpreter: make test PYTHON=python3.12
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
OUT ?= out
WORKERS ?= auto
PAPERS := shapira2023 agarwala2022 zhu2022 ahn2022 agarwala2024 precipice

.PHONY: demo test frameworks lint figures docs clean

# Remade when the interpreter or the project's requirements change.
$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "precipice needs Python 3.11 or later: make PYTHON=python3.12"; exit 1; }
	@if [ ! -x $(BIN)/python ] || [ "$$($(BIN)/python -V)" != "$$($(PYTHON) -V)" ]; then \
		rm -rf $(VENV) && $(PYTHON) -m venv $(VENV); fi
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev,cluster]'
	@touch $@

demo: $(STAMP)
	$(BIN)/precipice demo --out $(OUT)

# LONG=1 adds what takes minutes (curvature on eight devices, large networks), and compiles with all optimisations.
test: $(STAMP)
	$(if $(LONG),JAX_DISABLE_MOST_OPTIMIZATIONS=false) $(BIN)/python -m pytest -q -n $(WORKERS) --dist loadfile $(if $(LONG),,-m "not long")

# PyTorch and what its adapter is tested against; without them those tests are skipped. The constraint names the CPU build.
frameworks: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c .ci/constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c .ci/constraints.txt -e '.[frameworks]'

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/pyright --pythonpath $(BIN)/python

# Every figure at scale quick on real data (PRECIPICE_DATA), checked, with a gallery.
figures: $(STAMP)
	for paper in $(PAPERS); do $(BIN)/precipice run --paper $$paper --scale quick --out $(OUT) || exit $$?; done
	$(BIN)/precipice check $(OUT)/*.zarr
	$(BIN)/precipice gallery $(OUT)

docs: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[docs]'
	$(BIN)/sphinx-build -W -E -q -b html docs docs/_build/html

clean:
	rm -rf $(VENV) out docs/_build
