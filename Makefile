# make serve · make test · make lint · make bench
PYTHON ?= python3.11
BIN := .venv/bin
RUNTIME := .venv/.runtime
DEV := .venv/.dev

.PHONY: serve test lint format bench clean

serve: $(RUNTIME)
	exec $(BIN)/rnnrbm serve

test: $(DEV)
	exec $(BIN)/pytest

lint: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/hadolint Dockerfile
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml

format: $(DEV)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

MIDI ?= nottingham/train

bench: $(DEV)
	exec $(BIN)/python -m bench.tutorial $(MIDI)

.venv/bin/python:
	$(PYTHON) -m venv .venv || python3 -m venv .venv

$(RUNTIME): pyproject.toml constraints.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[torch,embedded]'
	touch $@

$(DEV): pyproject.toml constraints.txt requirements-dev.txt $(RUNTIME)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --requirement requirements-dev.txt
	touch $@

clean:
	rm -rf .venv
