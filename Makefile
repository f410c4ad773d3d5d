# make help lists the commands. The first one makes a virtual environment; Python 3.11 to 3.13 is needed.
PYTHON ?= python3
VENV ?= .venv
DATA ?= synthetic
PROFILE ?= quick
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help venv book test quick lint guard notebooks record clean
.DEFAULT_GOAL := help

help:  ## list the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F'\t' '{printf "  make %-10s %s\n", $$1, $$2}'

venv: $(STAMP)  ## make .venv with all that is needed

$(STAMP): pyproject.toml tools/install.sh
	PYTHON="$(PYTHON)" bash tools/install.sh "$(VENV)"
	@touch $@

book: $(STAMP)  ## execute the notebooks and build the book (DATA=synthetic|ptbxl, PROFILE=quick|full)
	$(BIN)/python tools/build_book.py --data "$(DATA)" --profile "$(PROFILE)"
	ECGKIT_REQUIRE_BOOK=1 $(BIN)/pytest tests/book/test_book.py
	@echo "The book: _build/html/index.html"

test: $(STAMP)  ## run every test
	$(BIN)/pytest -n 2

quick: $(STAMP)  ## the fast loop: tests without the slow ones, no book
	$(BIN)/pytest -n 2 -x -m "not slow and not real_data"

lint: $(STAMP)  ## style, types, workflows, notebooks in step with their sources
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	MYPYPATH=tools $(BIN)/mypy tools/*.py
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.citation-file-format CITATION.cff
	$(BIN)/python tools/colab.py check

guard: $(STAMP)  ## execute the notebooks for Colab and compare the outputs that must not move (nbval)
	$(BIN)/python tools/guard.py

notebooks: $(STAMP)  ## write the .ipynb beside each .md
	$(BIN)/python tools/colab.py sync

record: $(STAMP)  ## after `make book`: store the outputs that must not move
	$(BIN)/python tools/colab.py record
	$(BIN)/python tools/readme.py write

clean:  ## remove everything that was built, but not .venv
	rm -rf _build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
