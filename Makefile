# The book's commands. `make` alone lists them.
#
# Nothing is needed but Python (3.10 to 3.14) and make; everything else goes into .venv.

PYTHON ?= python3
PORT ?= 8000
# `make book CPU=1` takes PyTorch's smaller build without CUDA (of use on Linux only).
CPU ?=
PIP_FLAGS ?= -q

VENV := .venv
BIN := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
PIP := $(BIN)/python -m pip --disable-pip-version-check $(PIP_FLAGS)
READY := $(VENV)/.ready
CPU_INDEX := https://download.pytorch.org/whl/cpu
# With -W -n a broken reference stops the build. --all: a warning met once is met again.
# Warnings and errors come on stderr; what comes on stdout tells a reader nothing more.
SITE := $(BIN)/jupyter-book build . --all -q -W -n --keep-going > /dev/null

.DEFAULT_GOAL := help
.PHONY: help book check test test-slow serve pdf notebooks results gpu bench address addresses links lock \
	clean

help:  ## List these commands
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1@\2/p' Makefile | awk -F@ '{printf "%-18s%s\n", $$1, $$2}'

book: $(READY)  ## Build the site into _build/html
	$(SITE)
	@echo
	@echo "The book is built. Open _build/html/index.html, or run \`make serve\`."

pdf: book  ## Print the whole book as one PDF, _build/pdf/vggnet-book.pdf
	$(BIN)/python tools/pdf.py

check: $(READY)  ## Check form and types of the code, and the workflows, in seconds
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy vgg_utils tools benchmarks
	$(BIN)/zizmor --quiet --offline .github

test: check  ## Check the code, run every notebook and every test but the slow ones
	$(BIN)/python -m pytest -q

test-slow: $(READY)  ## Prove what takes longer: each notebook alone, and disturbed
	$(BIN)/python -m pytest -q -m slow tests

serve: $(READY)  ## Serve the built site on http://localhost:8000 (PORT=... for another)
	@test -e _build/html/index.html || $(SITE)
	@echo "The book is at http://localhost:$(PORT)/ until you press Ctrl-C."
	@$(BIN)/python -m http.server $(PORT) --bind 127.0.0.1 --directory _build/html

notebooks: $(READY)  ## Run the notebooks from the top and store clean outputs (ONLY=book/... for one)
	$(BIN)/python tools/notebooks.py $(ONLY)

results: $(READY)  ## Repeat the measured experiments, some 55 minutes, and by name those of hours (ONLY=name, DEVICE=cuda on a GPU)
	$(BIN)/python tools/results.py $(if $(DEVICE),--device $(DEVICE) --missing) $(ONLY)

gpu: $(READY)  ## Make every run that waits for a GPU, the most valuable first, on a machine that has one
	$(BIN)/python tools/gpu.py

bench: $(READY)  ## Measure speed and memory against peers, some minutes (ONLY=name for one)
	$(BIN)/python benchmarks/bench.py $(ONLY)

address:  ## Write the repository's address everywhere (REPO=owner/name, BRANCH=... if not main)
	@$(PYTHON) tools/address.py $(REPO) $(BRANCH)

links: $(READY)  ## Ask every other site that the book links to (needs a network)
	$(BIN)/python tools/links.py

addresses: book  ## Record the site's new addresses (RENEW=1 also forgets what is gone)
	$(BIN)/python tools/addresses.py --$(if $(RENEW),renew,add)

lock: $(READY)  ## Renew requirements.txt from pyproject.toml (UPGRADE=1 for the newest versions)
	$(BIN)/python -m venv build/uv
	build/uv/$(notdir $(BIN))/python -m pip --disable-pip-version-check $(PIP_FLAGS) install uv
	build/uv/$(notdir $(BIN))/uv pip compile -q --universal --python-version 3.10 pyproject.toml \
		--group book --no-emit-index-url --custom-compile-command "make lock" \
		$(if $(UPGRADE),--upgrade) -o requirements.txt
	rm -rf build/uv

clean:  ## Remove what was built; .venv stays
	rm -rf _build build .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

# Set-up runs when there is none or when the requirements have changed since.
$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 14))' || { \
		echo "The book needs Python 3.10 to 3.14, and \`$(PYTHON)\` is not one." >&2; \
		echo "Name another: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2> /dev/null || { \
		echo "\`$(PYTHON)\` lacks the venv module. On Debian and Ubuntu: apt install python3-venv" >&2; \
		exit 1; }
	@echo "Setting up $(VENV): some minutes and gigabytes the first time (see README.md)."
	@$(PYTHON) -m venv $(VENV)
ifeq ($(CPU),)
	@$(PIP) install -r requirements.txt
else
	@grep -v -E '^(cuda|nvidia)-|^triton=' requirements.txt > $(VENV)/requirements-cpu.txt
	@$(PIP) install --extra-index-url $(CPU_INDEX) -r $(VENV)/requirements-cpu.txt
endif
	@$(PIP) install --no-deps -e .
	@touch $(READY)
