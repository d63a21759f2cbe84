# serinus: everything a newcomer needs. `make help` lists the targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help

# uv comes from PATH, or into .tools; nothing outside this directory is touched.
UV_VERSION := 0.13.9
UV := $(shell command -v uv 2>/dev/null || echo .tools/uv/bin/uv)
STAMP := .venv/.serinus-locked
# Bytecode is kept, or each of the many short processes would compile its libraries anew.
unexport PYTHONDONTWRITEBYTECODE
RUN := .venv/bin
DEMO ?= fraud

##@ Start here
.PHONY: run
run: $(STAMP) ## Set everything up, then the main job: train, serve, canary, roll back, drift, retrain
	@$(RUN)/serinus demo $(DEMO) $(ARGS)

.PHONY: test
test: $(STAMP) ## Set everything up, then all tests of this machine (no cluster, no root)
	@$(RUN)/python -m pytest tests/unit tests/local tests/cluster/seldon $(ARGS)

.PHONY: help
help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} \
	  /^[a-z][a-zA-Z_-]*:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# Java and Maven are needed; the broker's 46 MB lie in .tools and nowhere else.
KAFKA_JARS := .tools/kafka
.PHONY: test-kafka
test-kafka: $(STAMP) ## Run the decision log against a real Kafka broker (fetched by Maven)
	@test -d $(KAFKA_JARS) || mvn -q -B -f tests/local/scorer/kafka/pom.xml dependency:copy-dependencies \
	  -DincludeScope=runtime -DoutputDirectory="$(CURDIR)/$(KAFKA_JARS)"
	@SERINUS_KAFKA_JARS="$(CURDIR)/$(KAFKA_JARS)" $(RUN)/python -m pytest tests/local/scorer/kafka $(ARGS)

.PHONY: clients
clients: $(STAMP) clients-env ## Ask the scorer with other people's clients, in environments of their own
	@$(RUN)/python -m pytest tests/clients $(ARGS)

# The drift monitor as its image has it: Python 3.11 and the last Alibi Detect under Apache-2.0 (docs/decisions).
DRIFT_APACHE := .venv-drift-apache
.PHONY: test-drift-apache
test-drift-apache: drift-apache-env ## Run the drift monitor's tests with the Apache-2.0 Alibi Detect, on Python 3.11
	@$(DRIFT_APACHE)/bin/python -m pytest tests/unit/drift tests/local/drift $(ARGS)

##@ On a cluster
# SERINUS_CLUSTER names a script that makes a node (tests/cluster/README.md), or KUBECONFIG a cluster that is there.
.PHONY: test-cluster
test-cluster: $(STAMP) ## Real Kubernetes, Istio and Envoy: bring the node up (root), build the images, test (KEEP=no: take it down)
	@$(RUN)/python -m tests.cluster.bring $(IMAGES)
	@status=0; $(RUN)/python -m pytest $(or $(TESTS),tests/cluster) $(ARGS) || status=$$?; \
	  [ "$(KEEP)" != no ] || $(RUN)/python -m tests.cluster.bring --down; exit $$status

.PHONY: kind
kind: ## The platform on kind: cluster, Istio and Seldon from their public charts (Docker, kind, helm; not run in CI)
	@tests/cluster/kind/up.sh

# docker, podman or buildah; the platform's images are named $(REGISTRY)/NAME:$(VERSION).
CONTAINER_TOOL ?= docker
IMAGE_BUILD ?= $(CONTAINER_TOOL) build
REGISTRY ?= docker.io/serinus
VERSION ?= $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
IMAGES ?= pipeline scorer drift controller
# An image says which commit it was made of, and whether the tree held more than that.
COMMIT = $(shell git rev-parse HEAD)$(shell git diff-index --quiet HEAD -- || echo -dirty)
.PHONY: images
images: $(IMAGES:%=image-%) ## Build the four images (CONTAINER_TOOL=docker|podman|buildah, REGISTRY, VERSION, IMAGES, IMAGE_ARGS="--build-arg BASE=…")

image-%:
	$(IMAGE_BUILD) -f docker/$*.Dockerfile -t $(REGISTRY)/$*:$(VERSION) --build-arg VERSION=$(VERSION) \
	  --build-arg COMMIT=$(COMMIT) --build-arg UV_VERSION=$(UV_VERSION) --build-arg SOURCE=$(SOURCE) $(IMAGE_ARGS) .

# helm, kubeconform and helm-unittest are built by Go where they are not there; kubectl must be.
.PHONY: lint-charts
lint-charts: $(STAMP) ## Lint and test charts and manifests: schemas, helm-unittest, kustomize, kubeconform, a real API server
	@charts/tools.sh
	@export PATH="$$(charts/tools.sh path)" && \
	  $(RUN)/python charts/schema.py --check && $(RUN)/python charts/manifests.py --check && \
	  helm lint --quiet --kube-version 1.34.0 charts/serinus && \
	  helm lint --quiet --kube-version 1.34.0 -f charts/serinus-model/ci/fraud-values.yaml charts/serinus-model && \
	  helm-unittest --strict charts/serinus charts/serinus-model && \
	  $(RUN)/python -m pytest tests/charts $(ARGS)

.PHONY: charts
charts: $(STAMP) ## Write what is made of the charts' sources: schemas, references, alerts, dashboards, kustomize base
	@charts/tools.sh
	@export PATH="$$(charts/tools.sh path)" && $(RUN)/python -m serving.watch --out charts/serinus/files >/dev/null && \
	  $(RUN)/python charts/schema.py --write && $(RUN)/python charts/manifests.py --write

##@ While working
.PHONY: unit
unit: $(STAMP) ## Only the fast tests
	@$(RUN)/python -m pytest tests/unit -q $(ARGS)

.PHONY: lint
lint: $(STAMP) ## Formatter, linter, type checker, import rules
	@$(RUN)/ruff format --check .
	@$(RUN)/ruff check .
	@$(RUN)/lint-imports
	@$(RUN)/pyright --warnings

.PHONY: format
format: $(STAMP) ## Format and mend what can be mended
	@$(RUN)/ruff format .
	@$(RUN)/ruff check --fix .

# The messages' descriptors; the tool is not part of the environment, since only a change of protos/ needs it.
.PHONY: protos
protos: uv ## Compile serving/scorer/grpc/protos after a change of a .proto file
	@$(UV) run --isolated --no-project --python .venv/bin/python --with grpcio-tools==1.81.1 --with "setuptools<81" \
	  python -m grpc_tools.protoc -I serving/scorer/grpc/protos --include_imports \
	  --descriptor_set_out=serving/scorer/grpc/protos/descriptors.binpb \
	  $(sort $(notdir $(wildcard serving/scorer/grpc/protos/*.proto)))

##@ Measured
.PHONY: bench-judges
bench-judges: $(STAMP) ## Canary judges on the same traces: the named subset (SET=full for the whole grid)
	@$(RUN)/python -m benchmarks.judges $(or $(SET),subset) --out docs/benchmarks/judges

.PHONY: bench-scorer
bench-scorer: $(STAMP) | uv ## The scorer beside its peers: 25 minutes on a quiet machine (SET=quick, SYSTEMS=ours,null, FORCE=1, RESUME=1)
	@$(RUN)/python -m benchmarks.scorer run --set $(or $(SET),default) --uv "$(UV)" --systems "$(SYSTEMS)" \
	  $(if $(FORCE),--force) $(if $(RESUME),--resume) --out $(or $(OUT),docs/benchmarks/scorer)

.PHONY: guard-scorer
guard-scorer: $(STAMP) ## The scorer's CPU per request beside the null server's, held to the stored ratio (ARGS=--store writes it)
	@$(RUN)/python -m benchmarks.scorer.guard $(ARGS)

.PHONY: bench-drift
bench-drift: $(STAMP) ## Drift monitors on the same traffic (SET=cost on a quiet machine, SET=alarms|rivals|delays|blind|report)
	@$(RUN)/python -m benchmarks.drift $(or $(SET),default) --out docs/benchmarks/drift

.PHONY: bench-controller
bench-controller: $(STAMP) ## 300 models, 50 rollouts, one controller: lag, calls to the API server, memory (needs the test cluster's tools)
	@$(RUN)/python -m benchmarks.controller --out docs/benchmarks/controller/figures.json $(ARGS)

##@ House-keeping
.PHONY: setup
setup: $(STAMP) ## Only set up: uv and the locked environment

.PHONY: clean
clean: ## Remove the environment, caches and everything the demo made
	rm -rf .venv $(CLIENTS) $(DRIFT_APACHE) .tools .serinus .pytest_cache .ruff_cache .hypothesis .import_linter_cache

# Other people's clients that cannot share our environment (protobuf 3.20, other pins): one each.
CLIENTS := .venv-clients
.PHONY: clients-env
clients-env: $(CLIENTS)/seldon/.locked $(CLIENTS)/mlserver/.locked $(CLIENTS)/mlflow/.locked ## Set up the environments of tests/clients: seldon-core, MLServer, MLflow

$(CLIENTS)/%/.locked: tests/clients/%.txt | $(STAMP)
	@echo "setting up $*'s own environment in $(CLIENTS)/$*"
	@$(UV) venv --quiet --allow-existing --python $(RUN)/python $(CLIENTS)/$*
	@$(UV) pip sync --quiet --python $(CLIENTS)/$*/bin/python $<
	@touch $@

.PHONY: drift-apache-env
drift-apache-env: $(DRIFT_APACHE)/.locked ## Set up the environment of the Apache-2.0 drift monitor (Python 3.11; about 0.9 GB)

$(DRIFT_APACHE)/.locked: requirements/drift-apache-test.txt | uv
	@echo "setting up the drift monitor's environment on Python 3.11 in $(DRIFT_APACHE)"
	@$(UV) venv --quiet --allow-existing --python 3.11 $(DRIFT_APACHE)
	@$(UV) pip sync --quiet --python $(DRIFT_APACHE)/bin/python $<
	@touch $@

$(STAMP): pyproject.toml uv.lock .python-version hatch_build.py $(wildcard serinus/model/native/*) | uv
	@echo "setting up the locked environment in .venv (once; about 1.3 GB)"
	@$(UV) sync --locked --quiet --extra local --extra credit --extra kafka --extra postgres --extra mlflow --group oracles --group clients --group storage --group bom
	@touch $@

# A Debian without python3-venv has no ensurepip; pip alone can still install into a directory.
.PHONY: uv
uv:
	@if ! command -v uv >/dev/null 2>&1 && [ ! -x .tools/uv/bin/uv ]; then \
	  echo "setting up uv $(UV_VERSION) in .tools (once)"; mkdir -p .tools; \
	  python3 -m venv .tools/uv >/dev/null 2>&1 && .tools/uv/bin/pip install --quiet uv==$(UV_VERSION) \
	  || { rm -rf .tools/uv; python3 -m pip install --quiet --target .tools/uv uv==$(UV_VERSION); } \
	  || { echo "make: uv could not be installed. Install it (docs.astral.sh/uv) or python3-venv, then run make again." >&2; exit 1; }; \
	fi
