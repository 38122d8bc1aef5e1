# Everything a person does here is one of these words; CI uses the same.

.DEFAULT_GOAL := help
.PHONY: help install serve test check lint bench clean

help:     ## show these words
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1	\2/p' $(MAKEFILE_LIST)

install:  ## make .venv with everything in it
	@scripts/install

serve: install  ## serve the services of this repository, on port 8000
	@.venv/bin/reconciler serve

test: install  ## run the tests
	@scripts/test

check: install  ## look for faults without running anything
	@scripts/check

lint: install  ## mend what can be mended: format, imports
	@scripts/lint

bench: install  ## measure, print a table, write bench/results/latest.json
	@.venv/bin/python -m bench

clean:    ## remove what the above made, but no data
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
