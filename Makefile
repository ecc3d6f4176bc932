# Every target that needs an environment makes it on first use, from constraints.txt. To choose:
#
#   PYTHON=python3.10   the interpreter to make it with, instead of the first one found that fits
#   VENV=.venv          the folder to make it in
#   MXNET=cpu           the flavour of MXNet: cpu, or cu112 where there is an NVIDIA driver
#   ARGS="..."          options handed on by train, test, soak, bench and constraints

PYTHON ?=
VENV   ?= .venv
MXNET  ?= cpu
ARGS   ?=

SHELL       := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help
.PHONY: help train test soak notebook bench lint constraints clean

INSTALLED := $(VENV)/.installed-$(MXNET)

help: ## list the targets
	@sed -nE 's/^([a-z]+):.* ## (.*)/make \1\t\2/p' Makefile | expand -t 20

train: $(INSTALLED) ## train AutoRec on MovieLens-100K, e.g. ARGS="--epochs 50 --seed 1"
	@$(VENV)/bin/autorec train $(ARGS)

test: $(INSTALLED) ## run the tests, e.g. ARGS="-k model"
	@$(VENV)/bin/python -m pytest $(ARGS)

soak: $(INSTALLED) ## repeat the attacks of the tests for about half an hour, and count them
	@$(VENV)/bin/python -m pytest -m soak $(ARGS)

notebook: $(INSTALLED) ## open the notebook (Python 3.9 to 3.11)
	@$(call needs,jupyter,Python 3.9 to 3.11,python3.11)
	$(VENV)/bin/jupyter notebook notebooks/autorec.ipynb

bench: $(INSTALLED) ## measure time and memory, e.g. ARGS="epochs --set ML-1M" or ARGS=--help
	@$(VENV)/bin/python -m benchmarks $(ARGS)

lint: $(INSTALLED) ## check style and types
	@$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(call needs,mypy,Python 3.10 or later,python3.11)
	$(VENV)/bin/mypy

constraints: ## resolve constraints.txt again; ARGS=--upgrade moves to the newest releases
	@$(find_python)
	room=$$(mktemp -d)
	trap 'rm -rf "$$room"' EXIT
	"$$python" -m venv "$$room"
	"$$room/bin/python" -m pip --disable-pip-version-check install -qq uv
	"$$room/bin/uv" pip compile --quiet --universal --python-version 3.9 \
	    $(foreach extra,cpu cu112 fast onnx notebook test dev,--extra $(extra)) \
	    --no-annotate --no-emit-index-url --custom-compile-command 'make constraints' \
	    $(ARGS) --output-file constraints.txt pyproject.toml >/dev/null

clean: ## remove the environments and caches; runs/ stays
	@for folder in $(VENV) .venv-3.12; do [ ! -e $$folder/pyvenv.cfg ] || rm -rf $$folder; done
	rm -rf build dist *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find autorec benchmarks notebooks tests \
	    '(' -name __pycache__ -o -name .ipynb_checkpoints ')' -prune -exec rm -rf {} +

# Made anew whenever what it is made from has changed, or when the last try did not reach the end.
$(INSTALLED): pyproject.toml constraints.txt Makefile
	@$(find_python)
	if [ -e $(VENV) ] && [ ! -e $(VENV)/pyvenv.cfg ]; then
	    echo "$(VENV) exists and is not a virtual environment: remove it or choose VENV=." >&2
	    exit 1
	fi
	echo "Installing into $(VENV) with $$python: 1 to 3 minutes, about 300 MB to download."
	"$$python" -m venv --clear $(VENV)
	$(VENV)/bin/python -m pip --disable-pip-version-check install -qq --no-compile \
	    --constraint constraints.txt --editable '.[$(MXNET),fast,onnx,notebook,test,dev]'
	touch $@

# Sets $python to the first interpreter that runs, fits MXNet and can make an environment.
define find_python
for folder in ~/.pyenv/versions/*/bin; do PATH=$$PATH:$$folder; done
fits='import ensurepip, sys, venv; sys.exit(not (3, 9) <= sys.version_info < (3, 13))'
while read -r python; do
    ! "$$python" -c "$$fits" </dev/null 2>/dev/null || break
done < <(type -ap $(or $(PYTHON),python3.11 python3.10 python3.9 python3.12 python3 python))
if [ -z "$$python" ]; then
    echo "$(if $(PYTHON),$(PYTHON) does not fit,No Python that fits was found): install Python 3.11," \
        "or 3.9, 3.10 or 3.12, with its venv module (on Debian: python3-venv)," \
        "or name one with PYTHON=." >&2
    exit 1
fi
endef

needs = [ -x $(VENV)/bin/$(1) ] || \
    { echo "This needs $(2): make clean, then make $@ PYTHON=$(3)." >&2; exit 1; }
