# make demo: from a photograph to two hand meshes.  make test: everything that is checked.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test test-fast test-lowest wheels fuzz lint docs dist system clean

demo: $(VENV)/demo.installed
	$(BIN)/twohand reconstruct twohand_jax/assets/demo.jpg --out demo_output --timing

test: $(VENV)/dev.installed system lint
	$(BIN)/pytest -n 2 --dist worksteal tests/data_pipelines/test_render.py
	$(BIN)/pytest -n 2 --dist worksteal -m "not egl"

test-fast: $(VENV)/dev.installed
	$(BIN)/pytest -n 2 --dist worksteal -m "not slow and not egl"

# A quick part of the tests with the lowest versions that setup.cfg allows.
LOWEST := .venv-lowest
test-lowest:
	$(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/python -m pip install -q -r tests/lowest.txt \
	  packaging "pytest>=8" pytest-timeout pytest-xdist "moto[server]>=5" \
	  gcp-storage-emulator
	$(LOWEST)/bin/python -m pip install -q --no-deps -e .
	$(LOWEST)/bin/python -m pytest -n 2 --dist worksteal -m "not slow and not egl" \
	  tests/geometry tests/mano/test_forward.py tests/viz tests/crops tests/data \
	  tests/cues/test_mediapipe.py tests/cues/test_partner.py \
	  tests/inference/test_reconstruct.py \
	  tests/inference/test_fit.py tests/train/test_step.py tests/train/test_loop.py \
	  tests/evaluation/test_error_plots.py tests/collision/test_penetration.py \
	  tests/data_pipelines/freihand tests/data_pipelines/test_writer.py \
	  tests/stores/test_paths.py tests/stores/test_checkpoints.py

# Which wheels there are for each platform, as the package index has it today.
wheels: $(VENV)/dev.installed
	$(BIN)/python -m tests.architecture.wheels

# Longer than the slice that is part of the tests; docs/reliability.md has the figures.
fuzz: $(VENV)/dev.installed
	$(BIN)/python -m tests.fuzz --cases 2000
	$(BIN)/python -m tests.faults --kills 20

# The site, in site/; a warning is an error. The tests build it as well.
docs: $(VENV)/docs.installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# The source archive and the wheel of it, in dist/ (docs/releasing.md).
dist: $(BIN)/python
	$(BIN)/python -m pip install -q build twine
	rm -rf build dist
	$(BIN)/python -m build
	$(BIN)/twine check --strict dist/*

lint: $(VENV)/dev.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The synthetic renderer draws through EGL; Mesa's software driver will do.
system: $(VENV)/dev.installed
	@$(BIN)/python -m twohand_jax.pipelines.synthetic.render.gpu || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y \
	      --no-install-recommends libegl1 libgl1-mesa-dri libgles2 >/dev/null && \
	    $(BIN)/python -m twohand_jax.pipelines.synthetic.render.gpu; \
	  else exit 2; fi; }

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/demo.installed: $(BIN)/python setup.cfg pyproject.toml
	$(BIN)/python -m pip install -q -e .
	touch $@

$(VENV)/docs.installed: $(BIN)/python setup.cfg pyproject.toml
	$(BIN)/python -m pip install -q -e ".[docs]"
	touch $@

$(VENV)/dev.installed: $(BIN)/python setup.cfg pyproject.toml
	$(BIN)/python -m pip install -q -e ".[data,beam,render,evaluation,notebooks,docs,dev]"
	touch $@

clean:
	rm -rf $(VENV) $(LOWEST) demo_output site build dist
