# One command each: run, test, check, bench, stop, clean. Needs make and Python 3.11 or newer.
PY := $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' >/dev/null 2>&1 && { echo $$p; break; }; done)
PYTHON := .venv/bin/python
INSTALL := install -q --disable-pip-version-check --require-hashes --only-binary :all: -r

.PHONY: run test check schema bench stop clean lock

run: .venv/.run
	@$(PYTHON) manage.py up

test: .venv/.test
	@$(PYTHON) -m pytest -n 2 --dist loadfile $(ARGS)

check: .venv/.test
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	DEBUG=1 .venv/bin/mypy config consent messaging incidents
	test ! -e tests/test_architecture.py || $(PYTHON) -m pytest -q -p no:cacheprovider tests/test_architecture.py
	DEBUG=1 $(PYTHON) -W ignore::RuntimeWarning manage.py makemigrations --check --dry-run
	$(PRODUCTION) $(PYTHON) manage.py check --deploy --fail-level WARNING
	@if test -e config/schema.yml; then \
		DEBUG=1 $(PYTHON) manage.py spectacular --validate --fail-on-warn --file .venv/schema.yml && \
		diff -u config/schema.yml .venv/schema.yml || { echo "The API and config/schema.yml differ: 'make schema' writes it anew."; exit 1; }; \
	else echo "OpenAPI drift: no config/schema.yml yet, nothing to compare."; fi

schema: .venv/.test
	DEBUG=1 $(PYTHON) manage.py spectacular --validate --fail-on-warn --file config/schema.yml

# Settings as a production has them, so that 'check --deploy' means something.
PRODUCTION := DEBUG=0 SECRET_KEY=not-a-secret-only-for-this-check-0123456789-abcdefghij \
	PRIVACY_KEY=neither-is-this-one-for-this-check-0123456789-klmnopqrst \
	PUBLIC_URL=https://privacy.example.com ALLOWED_HOSTS=privacy.example.com CANARY_EMAIL=canary@privacy.example.com \
	REDIS_URL=redis://valkey.example.com:6379/0 DATABASE_URL=postgresql://holdfast_app:secret@db.example.com/holdfast

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
	$(LOCK) pyproject.toml -c requirements.txt -o requirements-production.txt
	$(LOCK) pyproject.toml --group stack --group test -c requirements.txt -o requirements-test.txt
