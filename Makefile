# Every target that needs an environment makes it on first use, from the releases in locks/, whose
# files must have the hashes that stand there. To choose:
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
.PHONY: help train test soak oracle notebook docs bench lint constraints clean

# A lock has both flavours of MXNet. They go into the same folder, so what belongs to the other one
# is left out.
OTHER_cpu   := mxnet-cu112|nvidia-
OTHER_cu112 := mxnet==
OTHER       := $(or $(OTHER_$(MXNET)),$(error MXNET is cpu or cu112, not $(MXNET)))

# The section's library, d2l, pins releases of 2023. What needs it has an environment of its own.
INSTALLED   := $(VENV)/.installed-main-$(MXNET)
BESIDE_D2L  := $(VENV)-notebook/.installed-notebook-$(MXNET)
SPHINX      := $(VENV)-docs/.installed-docs-$(MXNET)

# A process that finds no bytecode compiles the modules it imports, which takes half of its time.
unexport PYTHONDONTWRITEBYTECODE

# Most tests wait for a process that imports MXNet, so two at once take little more than half the time.
AT_ONCE     := --numprocesses 2 --dist worksteal

help: ## list the targets
	@sed -nE 's/^([a-z]+):.* ## (.*)/make \1\t\2/p' Makefile | expand -t 20

train: $(INSTALLED) ## train AutoRec on MovieLens-100K, e.g. ARGS="--epochs 50 --seed 1"
	@$(VENV)/bin/autorec train $(ARGS)

test: $(INSTALLED) ## run the tests, e.g. ARGS="-k model"
	@$(VENV)/bin/python -m pytest $(AT_ONCE) $(ARGS)

soak: $(INSTALLED) ## repeat the attacks of the tests for up to half an hour, and count them
	@$(VENV)/bin/python -m pytest -m soak $(ARGS)

oracle: $(BESIDE_D2L) ## run the tests beside d2l itself (Python 3.9 to 3.11)
	@$(call needs,$(<D)/lib/python*/site-packages/d2l,Python 3.9 to 3.11,python3.11)
	$(<D)/bin/python -m pytest $(AT_ONCE) $(ARGS)

notebook: $(BESIDE_D2L) ## open the notebook, a lesson
	@$(<D)/bin/jupyter notebook notebooks/autorec.ipynb

docs: $(SPHINX) ## build the documentation site in build/docs (Python 3.11)
	@$(<D)/bin/sphinx-build -qW --keep-going -b html docs build/docs
	echo "The site is in build/docs: open build/docs/index.html."

bench: $(BESIDE_D2L) ## measure time and memory, e.g. ARGS="epochs --set ML-1M" or ARGS=--help
	@$(<D)/bin/python -m benchmarks $(ARGS)

lint: $(INSTALLED) ## check style, types and the direction of imports
	@$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	[ ! -x $(VENV)/bin/lint-imports ] || $(VENV)/bin/lint-imports --no-logo
	$(call needs,$(VENV)/bin/mypy,Python 3.10 or later,python3.11)
	$(VENV)/bin/mypy

constraints: ## resolve locks/ and constraints.txt again; ARGS=--upgrade moves to the newest releases
	@$(find_python)
	room=$$(mktemp -d)
	trap 'rm -rf "$$room"' EXIT
	"$$python" -m venv "$$room"
	"$$room/bin/python" -m $(install) --requirement locks/tools.txt
	resolve() {
	    "$$room/bin/uv" pip compile --quiet --generate-hashes \
	        --only-binary :all: --no-annotate --no-emit-index-url \
	        --custom-compile-command 'make constraints' $(ARGS) \
	        --output-file "locks/$$1.txt" "$${@:2}" >/dev/null
	}
	library=(--constraint locks/tools.txt pyproject.toml \
	    $(foreach extra,cpu cu112 fast onnx tune compare test dev,--extra $(extra)))
	each_python=(--universal --python-version 3.9)
	resolve tools "$${each_python[@]}" --group tools
	resolve main "$${each_python[@]}" "$${library[@]}"
	resolve notebook "$${each_python[@]}" "$${library[@]}" --extra notebook
	resolve docs --python-version 3.11 --python-platform linux \
	    --constraint locks/main.txt pyproject.toml $(foreach extra,cpu cu112 tune docs,--extra $(extra))
	# pip takes hashes among constraints for a demand that all has them, your own package, too.
	sed -nE '/^ +--hash/d; s/ \\$$//; p' locks/main.txt >constraints.txt

clean: ## remove the environments and caches; runs/ stays
	@for folder in $(VENV) $(VENV)-notebook $(VENV)-docs .venv-3.12; do
	    [ ! -e $$folder/pyvenv.cfg ] || rm -rf $$folder
	done
	rm -rf build dist docs/notebooks *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find autorec benchmarks notebooks tests \
	    '(' -name __pycache__ -o -name .ipynb_checkpoints ')' -prune -exec rm -rf {} +

# Made anew whenever what it is made from has changed, or when the last try did not reach the end.
# Nothing is built from source, since that would fetch what it is built with unpinned.
$(INSTALLED): locks/main.txt locks/tools.txt pyproject.toml Makefile
$(BESIDE_D2L): locks/notebook.txt locks/tools.txt pyproject.toml Makefile
$(SPHINX): locks/docs.txt locks/tools.txt pyproject.toml Makefile
$(SPHINX): PYTHON := python3.11
$(INSTALLED) $(BESIDE_D2L) $(SPHINX):
	@$(find_python)
	venv=$(@D)
	if [ -e $$venv ] && [ ! -e $$venv/pyvenv.cfg ]; then
	    echo "$$venv exists and is not a virtual environment: remove it or choose VENV=." >&2
	    exit 1
	fi
	echo "Installing into $$venv with $$python: 1 to 3 minutes, about 300 MB to download."
	"$$python" -m venv --clear $$venv
	$$venv/bin/python -m $(install) --requirement locks/tools.txt
	$$venv/bin/python -m $(install) --requirement \
	    <(awk '/^[^ ]/ {ours = !/^($(OTHER))/} ours' $<)
	$$venv/bin/python -m pip --disable-pip-version-check install -qq --no-compile \
	    --no-deps --no-build-isolation --editable .
	touch $@

install := pip --disable-pip-version-check install -qq --no-compile --require-hashes --only-binary :all:

# Sets $python to the first interpreter that runs, fits MXNet and can make an environment.
define find_python
for folder in "$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/*/bin; do PATH=$$PATH:$$folder; done
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

needs = [ -x $(1) ] || \
    { echo "This needs $(2): make clean, then make $@ PYTHON=$(3)." >&2; exit 1; }
