# One command each: run, test, check, bench, stop, clean. Needs make and Python 3.11 or newer.
PY := $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' >/dev/null 2>&1 && { echo $$p; break; }; done)
PYTHON := .venv/bin/python
INSTALL := install -q --disable-pip-version-check --require-hashes --only-binary :all: -r

.PHONY: run test check bench stop clean lock

run: .venv/.run
	@$(PYTHON) manage.py up

test: .venv/.test
	@$(PYTHON) -m pytest $(ARGS)

bench: .venv/.test
	@$(PYTHON) -m tests.benchmarks

stop:
	@test ! -x $(PYTHON) || $(PYTHON) manage.py stop

clean: stop
	rm -rf .venv var .mypy_cache .ruff_cache .pytest_cache .hypothesis

# A Python without the venv module's own pip (Debian splits it off) may still have a pip that installs elsewhere.
.venv/bin/python:
	@test -n "$(PY)" || { echo "Holdfast needs Python 3.11 to 3.14; none was found on PATH."; exit 1; }
	@$(PY) -m venv .venv >/dev/null 2>&1 || { rm -rf .venv; $(PY) -m venv --without-pip .venv && $(PY) -m pip --version >/dev/null 2>&1; } \
		|| { rm -rf .venv; echo "This Python has neither venv nor pip. On Debian: sudo apt install python3-venv"; exit 1; }

# The stamps: a lock that did not change is not installed again.
.venv/.run: requirements.txt | .venv/bin/python
	@echo "Installing what Holdfast runs on (once, some seconds) …"
	@$(call pip,$<)
	@touch $@

.venv/.test: requirements-test.txt | .venv/bin/python
	@echo "Installing what the tests need (once) …"
	@$(call pip,$<)
	@touch $@ .venv/.run

pip = if $(PYTHON) -m pip --version >/dev/null 2>&1; then $(PYTHON) -m pip $(INSTALL) $(1); \
	else $(PY) -m pip --python $(PYTHON) $(INSTALL) $(1); fi

# For maintainers, when pyproject.toml changed: one lock for every platform, with hashes and without addresses.
LOCK := uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url
lock:
	$(LOCK) pyproject.toml --group stack -o requirements.txt
	$(LOCK) pyproject.toml --group stack --group test -c requirements.txt -o requirements-test.txt
