# reproof: `make report` and `make test` are all that a fresh machine needs (Python 3.11 or newer, make, git).

STUDY ?=
BUDGET ?=
CORES ?= all
WORKERS ?= 3
SNAKEMAKE_FLAGS ?=
PYTEST_FLAGS ?=
LOCK_FLAGS ?=

python := .venv/bin/python
caches := .mypy_cache .ruff_cache .pytest_cache .hypothesis
everything = .venv .snakemake wheels $(filter-out %/README.md,$(wildcard results/* report/*))

# Container images often set it; then every job, and every process of a test, compiles all its modules anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help report test test-quick test-release check lock vendor licences install install-dev clean distclean

help:
	@echo "make report      set up .venv, run the default study, make report/digits.html"
	@echo "                 STUDY=studies/NAME.yaml: lay that file over config.yaml; BUDGET=paper: with that budget of it"
	@echo "                 CORES=2: use so many cores"
	@echo "make test        set up .venv with the test tools, run all tests"
	@echo "make test-quick  the same without the slow tests"
	@echo "make test-release the long tests of what changes seldom, before a release"
	@echo "make check       lint, format, types, workflow: what CI checks besides the tests"
	@echo "make lock        write the lock files and environment*.yml anew after an edit of pyproject.toml"
	@echo "make vendor      bring all packages into wheels/, for machines without a network"
	@echo "make licences    list the packages with their licences"
	@echo "make clean       remove caches; results stay"
	@echo "make distclean   say what else can be removed; with CONFIRM=yes, remove it"
	@echo "PYTHON=python3.12 chooses the Python for .venv, TORCH=cpu a torch without CUDA (2 GB instead of 6)"

install:
	@/bin/sh tools/set_up.sh requirements.lock

install-dev:
	@/bin/sh tools/set_up.sh requirements-dev.lock

layers = $(if $(STUDY),--configfile $(STUDY)) $(if $(BUDGET),--config budget=$(BUDGET))

# Snakemake keeps a cache in the user's home, which an account may lack.
cache = $(shell [ -w "$$HOME/." ] || echo "env XDG_CACHE_HOME='$(CURDIR)/.snakemake/cache'")

report: install
	$(cache) $(python) -m snakemake --cores $(CORES) $(SNAKEMAKE_FLAGS) $(layers)
	@PYTHONPATH=src $(python) -m reproof answer $(layers)

# One thread per test process. Three of them keep two cores busy, since tests of whole workflows wait a lot.
test: install-dev
	OMP_NUM_THREADS=1 $(python) -m pytest -n $(WORKERS) --dist loadgroup -m "not release" $(PYTEST_FLAGS)

test-quick: install-dev
	OMP_NUM_THREADS=1 $(python) -m pytest -n $(WORKERS) --dist loadgroup -m "not slow and not release" $(PYTEST_FLAGS)

test-release: install-dev
	OMP_NUM_THREADS=1 $(python) -m pytest -n $(WORKERS) --dist loadgroup -m release $(PYTEST_FLAGS)

check: install-dev
	$(python) -m ruff check .
	$(python) -m ruff format --check .
	$(python) -m mypy
	.venv/bin/snakefmt --check Snakefile workflow
	$(python) -m snakemake --lint
	.venv/bin/hadolint Dockerfile

# LOCK_FLAGS=--upgrade takes the newest versions of what pyproject.toml leaves open.
lock:
	/bin/sh tools/lock.sh $(LOCK_FLAGS)

# All pins as wheels: what comes as source is built. Without a network: PIP_NO_INDEX=1 PIP_FIND_LINKS=wheels make report
vendor: install-dev
	$(python) -I -m pip wheel --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir wheels -r requirements-dev.lock

licences: install-dev
	@$(python) -m piplicenses --from=mixed --order=license --with-urls

clean:
	rm -rf $(caches)
	find src tests tools benchmarks workflow -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean
ifeq ($(CONFIRM),yes)
	rm -rf $(everything)
else
	@echo "make distclean CONFIRM=yes removes these, trained models and all results among them:"
	@for path in $(everything); do [ ! -e $$path ] || du -sh $$path; done
endif
