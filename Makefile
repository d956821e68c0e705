# Thin recipes: the work is done in tools/.

VENV_PYTHON := .venv/bin/python

# Once .venv is there, its Python is the default.
PYTHON ?= $(if $(and $(wildcard .venv/setup.json),$(realpath $(VENV_PYTHON))),$(VENV_PYTHON),python3)
PORT ?= 8000
STAGES ?=
NB ?=
NAME ?=
MODULES ?=
FUZZ ?= 50
WORKERS ?= 2
GROUPS ?=
ROWS ?=

.DEFAULT_GOAL := help
.PHONY: help setup serve lab test book pdf notebooks chapter lint format lock licenses \
	audit newest recipe mutants notebook-mutants fuzz cluster peers bench \
	leaderboard clean

help:  ## show this list
	@echo 'Dive into Recurrent Neural Networks'
	@echo
	@sed -n 's/^\([a-z-]*\):.*  ## \(.*\)/make \1|\2/p' Makefile | \
		while IFS='|' read -r name text; do printf '  %-16s %s\n' "$$name" "$$text"; done
	@echo
	@echo 'PYTHON=python3.12 chooses the Python, from 3.10 to 3.13.'

setup:  ## make .venv from requirements.lock, unless it is up to date
	@command -v $(PYTHON) >/dev/null || \
		{ echo "There is no $(PYTHON) here: install Python 3.10 to 3.13," \
		"or name yours, as in 'make setup PYTHON=python3.11'." >&2; exit 2; }
	@$(PYTHON) tools/bootstrap.py

serve: setup book  ## serve the book on this machine, its code to run (PORT=8000)
	@$(VENV_PYTHON) tools/serve.py $(PORT)

lab: setup  ## open the notebooks in JupyterLab
	@$(VENV_PYTHON) tools/lab.py

test: setup  ## prove the project (some stages only: STAGES="lint book")
	@$(VENV_PYTHON) tools/check.py $(STAGES)

book: setup  ## build the book into _build/html, unless it is up to date
	@$(VENV_PYTHON) tools/book.py

pdf: book  ## print the whole book into _build/d2l-rnn.pdf (needs Chromium)
	@$(VENV_PYTHON) tools/pdf.py

notebooks: setup  ## run notebooks and store their outputs (some only: NB="book/a.ipynb")
	@$(VENV_PYTHON) tools/notebooks.py run $(NB)

chapter: setup  ## begin a chapter from the template (NAME=gated/my_cell)
	@$(VENV_PYTHON) tools/chapter.py '$(NAME)'

lint: setup  ## check code and notebooks with ruff
	@$(VENV_PYTHON) tools/check.py lint

format: setup  ## format code and notebooks, sort imports
	$(VENV_PYTHON) -m ruff check --fix-only --quiet
	$(VENV_PYTHON) -m ruff format

lock:  ## make requirements.lock from requirements.in (needs uv)
	uv pip compile requirements.in --quiet --universal --python-version 3.10 \
		--generate-hashes --no-header --output-file requirements.lock

licenses: setup  ## list the license of every package and data file
	@$(VENV_PYTHON) tools/licenses.py

audit: setup  ## look the locked packages up among known vulnerabilities (needs uv)
	@$(VENV_PYTHON) tools/audit.py

newest: setup  ## try the newest versions that requirements.in allows (needs uv)
	@$(VENV_PYTHON) tools/newest.py $(STAGES)

recipe: setup  ## run the Dockerfile's steps in a clean folder, without Docker
	@rm -rf _build/recipe && $(VENV_PYTHON) tools/recipe.py --without-apt _build/recipe

mutants: setup  ## count the small faults that tests catch (MODULES="clipping")
	@$(VENV_PYTHON) tools/mutants.py $(MODULES)

notebook-mutants: setup  ## change a digit in every notebook (some only: NB=...)
	@$(VENV_PYTHON) tools/notebook_mutants.py $(NB)

fuzz: setup  ## damage files, kill trainings far more often than 'make test' (FUZZ=50)
	@FUZZ=$(FUZZ) $(VENV_PYTHON) -m pytest -q -rP -k "fuzz or killed" \
		tests/test_fuzz.py tests/test_checkpoint.py

cluster: setup  ## train with several processes, compare with one (WORKERS=2)
	@$(VENV_PYTHON) tools/cluster.py $(WORKERS)

peers: setup  ## install what 'make bench' compares with (needs pip)
	python3 -m pip --python $(VENV_PYTHON) install --quiet --no-deps --upgrade \
		--target _build/peers -r benchmarks/requirements.txt

bench: setup  ## measure the speed, against peers too (some only: GROUPS="decoding")
	@$(VENV_PYTHON) benchmarks/run.py $(GROUPS)

leaderboard: setup  ## train what the leaderboard lacks: hours (ROWS="lstm gru")
	@$(VENV_PYTHON) tools/train_leaderboard.py $(ROWS)

clean:  ## remove what was built; .venv and the texts in _build/edit stay
	[ ! -d _build ] || find _build -mindepth 1 -maxdepth 1 ! -name edit -exec rm -rf {} +
	rm -rf build d2l_rnn.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -path ./.venv -prune -o -name __pycache__ -type d -exec rm -rf {} +
