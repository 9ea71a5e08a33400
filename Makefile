# The commands of this project; `make` alone lists them.
# PYTHON: the Python to build .venv with. ARGS: more arguments for pytest. JOBS: tests at once.

PYTHON ?= python3
ARGS ?=
# SECS and SEED: how long `make faults` plays; the seeds that it plays again
SECS ?= 180
SEED ?=
# half of the cores and one: tests start processes of their own
JOBS ?= $(shell echo $$(( $$(nproc 2>/dev/null || echo 2) / 2 + 1 )))
PY := .venv/bin/python
# the rooms whose own tests cover them; tracing makes tests take twice as long
COVERED := config court evidence project
SUITE := -m pytest -c tests/pytest.toml --rootdir=.

.PHONY: help flow test test-env test-fast test-long faults check bench bench-compare docs gallery site clean
.DELETE_ON_ERROR:

help:
	@sed -n 's/^\([a-z-]*\):.*## /make \1\t/p' Makefile

flow: .venv/.ready ## run the whole flow of flows/workflow.env: as shipped, on this machine
	$(PY) -m pytest flows/ --wf-flow --wf-wait=true --wf-fetch=all $(ARGS)

test-env: .venv/.ready-to-test ## install what the tests need
	@sh scripts/test-tools.sh
	@sh scripts/torch-env.sh $(PYTHON) .venv/.torch-python
	@sh scripts/trainers-env.sh $(PYTHON) "$$(cat .venv/.torch-python)" .venv/.trainers-python
	@sh scripts/old-torch.sh .venv/.old-torch

test: test-env ## install what the tests need, and run all of them
	$(PY) $(SUITE) $(COVERED:%=tests/%) -n $(JOBS) --dist worksteal --cov --cov-report= $(ARGS)
	@$(PY) -m coverage report --include='pytest_wf/config/*,pytest_wf/court/*,pytest_wf/evidence/*,pytest_wf/project/*' --fail-under=95
	WF_TEST_TORCH_PYTHON="$$(cat .venv/.torch-python)" \
		WF_TEST_TRAINERS_PYTHON="$$(cat .venv/.trainers-python)" \
		WF_TEST_OLD_TORCH="$$(cat .venv/.old-torch)" \
		$(PY) $(SUITE) tests --ignore=tests/bench $(COVERED:%=--ignore=tests/%) \
		-n $(JOBS) --dist worksteal $(ARGS)

test-fast: .venv/.ready-to-test ## every test but those marked torch, trainers, browser and slow
	@sh scripts/test-tools.sh
	$(PY) $(SUITE) tests --ignore=tests/bench -n $(JOBS) --dist worksteal \
		-m 'not (torch or trainers or browser or slow or long)' $(ARGS)

test-long: .venv/.ready-to-test ## what `make test` shows at a few points, at many, and property tests with random examples
	@sh scripts/test-tools.sh
	$(PY) $(SUITE) tests --ignore=tests/bench -n $(JOBS) --dist worksteal -m long $(ARGS)
	$(PY) $(SUITE) tests --ignore=tests/bench -n $(JOBS) --dist worksteal \
		-m 'hypothesis and not long' --hypothesis-profile=search $(ARGS)

faults: .venv/.ready-to-test ## inject faults into whole flows for SECS=180 seconds, or those of SEED="n m" again
	@sh scripts/test-tools.sh
	$(PY) -m tests.support.injection --secs $(SECS) $(if $(SEED),--seed $(SEED))

check: .venv/.ready-to-test ## every static check
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	.venv/bin/lint-imports
	.venv/bin/vermin -q --no-tips --eval-annotations --violations -t=3.8- pytest_wf/wire pytest_wf/agent pytest_wf/contrib/*/pod_program.py
	$(PY) -m pytest_wf.cli.configuration | diff docs/configuration.md - # if not: make docs

bench: .venv/.ready-to-test ## measure, each figure beside competitors; ARGS='--large --json FILE' for more
	@sh scripts/test-tools.sh
	@sh scripts/bench-tools.sh $(PY) .venv/.bench-tools
	$(PY) $(SUITE) -o python_files='bench_*.py' tests/bench $(ARGS)

bench-compare: .venv/.ready-to-test ## measure commits A= and B= in turn, or compare two files of --json
	@sh scripts/test-tools.sh
	@sh scripts/bench-tools.sh $(PY) .venv/.bench-tools
	@$(PY) -m tests.support.bench.compare $(A) $(B) $(ARGS)

docs: .venv/.ready-to-test ## write the generated pages of docs/ anew
	$(PY) -m pytest_wf.cli.configuration > docs/configuration.md
	$(PY) -m tests.support.faults > docs/faults.md
	$(PY) -m tests.support.failures > docs/failures.md
	$(PY) -m tests.support.reference

gallery: test-env ## train every example, for the gallery of `make site`
	WF_TEST_TRAINERS_PYTHON="$$(cat .venv/.trainers-python)" $(PY) -m tests.support.gallery

site: docs ## build the documentation site into build/site
	$(PY) -m mkdocs build --strict --quiet

clean: ## remove .venv and caches; results in reports/ and .wf/ stay
	rm -rf .venv .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache \
		build dist *.egg-info
	find pytest_wf tests examples flows -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.ready: pyproject.toml scripts/venv.sh
	@sh scripts/venv.sh $(PYTHON) .venv
	sh scripts/pip.sh $(PY) --editable .
	@$(PY) -m compileall -q pytest_wf
	@touch $@

.venv/.ready-to-test: .venv/.ready
	sh scripts/pip.sh $(PY) --editable '.[test]'
	@touch $@
