.PHONY: demo test slow kills check docs package format help

PYTHON ?= python3
# An empty value takes the newest versions of all dependencies.
CONSTRAINTS ?= constraints.txt
BIN := $(if $(filter Windows_NT,$(OS)),.venv/Scripts,.venv/bin)

help:
	@echo "make demo    generate videos, train, evaluate, predict, write demo/report.html (a few minutes)"
	@echo "make test    run the tests"
	@echo "make slow    run the tests that take longer, too"
	@echo "make kills   kill trainings at random moments, 50 times one process, 20 times two, and compare the ends"
	@echo "make check   lint, types and tests, as CI does"
	@echo "make docs    build the documentation into site/"
	@echo "make package  build the wheel and the source distribution into dist/ and try the wheel outside the checkout"
	@echo "make format  format the code"

$(BIN)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'Python 3.11 or newer is needed.')"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet $(addprefix --constraint ,$(CONSTRAINTS)) --editable ".[dev]"
	touch $@

demo: $(BIN)/.installed
	$(BIN)/timesformer demo --out demo

test: $(BIN)/.installed
	$(BIN)/python -m pytest -n 2 -m "not slow"

slow: $(BIN)/.installed
	$(BIN)/python -m pytest -n 2

kills: $(BIN)/.installed
	$(BIN)/python benchmarks/kill_and_resume.py --kills 50
	$(BIN)/python benchmarks/kill_and_resume.py --kills 10 --processes 2
	$(BIN)/python benchmarks/kill_and_resume.py --kills 10 --processes 2 --parallel fsdp

check: $(BIN)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(MAKE) docs
	$(BIN)/python -m pytest -n 2 -m "not slow"

docs: $(BIN)/.installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

package: $(BIN)/.installed
	rm -rf build dist
	$(BIN)/python -m build --quiet
	$(BIN)/python -m pytest tests/test_package.py

format: $(BIN)/.installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
