# make serve · make test · make lint · make fuzz · make bench
PYTHON ?= python3.11
BIN := .venv/bin
RUNTIME := .venv/.runtime
DEV := .venv/.dev
AESARA := .venv/.bench-aesara

.PHONY: serve test fuzz lint format bench clean

serve: $(RUNTIME)
	exec $(BIN)/rnnrbm serve

test: $(DEV)
	exec $(BIN)/pytest

# A service of its own against what schemathesis makes of /openapi.json, for MINUTES.
fuzz: $(DEV)
	exec $(BIN)/python -m tests.e2e.fuzz --minutes $(or $(MINUTES),20)

lint: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/hadolint Dockerfile
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml docker-compose.gpu.yml
	@if docker compose version >/dev/null 2>&1; then \
	  docker compose -f docker-compose.yml config -q && \
	  docker compose -f docker-compose.yml -f docker-compose.gpu.yml config -q; \
	else echo "docker compose is not here: the files are checked by their schema, and by tests/test_containers.py"; fi

format: $(DEV)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# MIDI=folder: the corpus to measure on. CURVES=1: learning curves too.
bench: $(DEV) $(AESARA)/.installed
	exec $(BIN)/python -m bench $(if $(MIDI),--midi '$(MIDI)') $(if $(CURVES),--curves)

.venv/bin/python:
	$(PYTHON) -m venv .venv || python3 -m venv .venv

$(RUNTIME): pyproject.toml constraints.txt $(wildcard model/kernel/*.[ch]) | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[torch,embedded]'
	touch $@

$(DEV): pyproject.toml constraints.txt requirements-dev.txt $(RUNTIME)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --requirement requirements-dev.txt
	touch $@

# A baseline of the bench, which needs an older NumPy; where it cannot be installed, the bench goes on without it.
$(AESARA)/.installed: bench/requirements-aesara.txt | .venv/bin/python
	-{ $(BIN)/python -m venv --clear $(AESARA) && $(AESARA)/bin/python -m pip install --quiet --disable-pip-version-check \
	  --requirement $< && touch $@; } || rm -rf $(AESARA)

clean:
	rm -rf .venv
