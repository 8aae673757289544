# make run    the sweep on handwritten digits, from nothing
# make test   every test, from nothing
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CHART := charts/defensive-distillation
# two processes, whole files each, in the order of their names: those that take longest come first (testpaths in pyproject.toml)
TWO := -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: run test test-fast test-docker test-cluster bench bench-fast check golden docs image image-cli lock ui clean help

help:
	@sed -n 's/^# make/make/p' Makefile

# an editable install with the tools of the tests; made again when the dependencies change. torchattacks and
# adversarial-library come without their dependencies, requests 2.25 and a plotting server; the extra dev has what they
# import
$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps 'torchattacks>=3.5.1,<3.6' adv-lib==0.2.8
	touch $@

run: $(VENV)/installed
	$(BIN)/defdistill run

test: $(VENV)/installed $(BIN)/actionlint check
	$(BIN)/python -m pytest $(TWO)

# make test-fast  the unit tests, without those that take seconds
test-fast: $(VENV)/installed
	$(BIN)/python -m pytest tests/unit -m "not slow" $(TWO)

# make image  the image of every step, tried out: DEVICE=cpu or cuda, IMAGE=its name; make image-cli the small one
DEVICE ?= cpu
VERSION := $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' components/defensive_distillation/__init__.py)
IMAGE ?= defensive-distillation:$(VERSION)$(if $(filter cuda,$(DEVICE)),-cuda)
CLI_IMAGE ?= defensive-distillation-cli:$(VERSION)

image:
	docker/build.sh step $(DEVICE) $(IMAGE)
	docker/check.sh step $(IMAGE)

image-cli:
	docker/build.sh cli cpu $(CLI_IMAGE)
	docker/check.sh cli $(CLI_IMAGE)

# make test-docker  what needs a Docker engine and that image
test-docker: $(VENV)/installed
	DEFDISTILL_IMAGE=$(IMAGE) $(BIN)/python -m pytest tests/docker -m docker

# make test-cluster  what needs a cluster with Kubeflow Pipelines and that image (docs/cluster.md)
test-cluster: $(VENV)/installed
	$(BIN)/python -m pytest tests/live -m cluster -v

# make lock   exact versions and hashes of what the images hold; UV_UPGRADE=1 takes the newest
lock: $(VENV)/installed
	PATH="$(abspath $(BIN)):$$PATH" docker/lock.sh

# what checks the workflows is a program in Go; where it cannot be built, its test says so
$(BIN)/actionlint: $(VENV)/installed
	-GOBIN=$(abspath $(BIN)) go install github.com/rhysd/actionlint/cmd/actionlint@v1.7.12

# make bench  ours beside every peer, into docs/benchmarks.md, within 45 minutes; ONLY="jsma memory" a part of it again
# TensorFlow and Lightning are in no other environment: 7 GB
.bench/installed: pyproject.toml
	$(PYTHON) -m venv .bench
	.bench/bin/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	.bench/bin/python -m pip install --quiet --disable-pip-version-check -e '.[bench]'
	.bench/bin/python -m pip install --quiet --disable-pip-version-check --no-deps torchattacks==3.5.1 cleverhans==3.1.0 \
	  adv-lib==0.2.8
	touch $@

bench: .bench/installed
	.bench/bin/python -m benchmarks $(addprefix --only ,$(ONLY)) --output docs/benchmarks.md

# make bench-fast  the same of JSMA, its search and every attack, in small sizes, within 8 minutes, on the terminal
bench-fast: $(VENV)/installed
	$(BIN)/python -m benchmarks --fast $(addprefix --only ,$(ONLY))

# style, types, the direction of imports, the chart's values
check: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/check-jsonschema --check-metaschema $(CHART)/values.schema.json
	$(BIN)/check-jsonschema --schemafile $(CHART)/values.schema.json $(CHART)/values*.yaml

# make golden writes the compiled pipeline that the tests compare with
golden: $(VENV)/installed
	$(BIN)/defdistill compile -o tests/golden/sweep.yaml

# make docs   writes docs/configuration.md from the models
docs: $(VENV)/installed
	$(BIN)/python -m defensive_distillation.config.page > docs/configuration.md

ui: $(VENV)/installed
	$(BIN)/defdistill ui

clean:
	rm -rf $(VENV) .bench .pytest_cache .mypy_cache .ruff_cache build dist
