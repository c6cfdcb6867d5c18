# Every verb a person types. CI calls these verbs and nothing else.
SHELL := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# What is built is kept outside the checkout, so that a fresh clone starts warm; nothing depends on it being there.
export APERIUM_CACHE ?= $(HOME)/.cache/aperium
export CARGO_TARGET_DIR ?= $(APERIUM_CACHE)/target
debug := $(CARGO_TARGET_DIR)/debug
release := $(CARGO_TARGET_DIR)/release
stage := tests/stage

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 20

up: ## start everything on this machine over the example: gateway on 127.0.0.1:8080
	cargo build --locked --package aperium-cli
	exec $(debug)/aperium up deploy/examples/laptop

generate: ## write every generated file again: CRDs, chart parts, install.yaml, modules.json, openapi.json
	cargo build --locked --package aperium-crds
	for kind in connector grant; do $(debug)/crdgen $$kind > crds/$$kind.yaml; done
	deploy/generate.sh
	APERIUM_WRITE=1 cargo test --locked --package aperium-mcp-service --lib the_fields
	APERIUM_WRITE=1 cargo test --locked --package aperium-gateway --lib the_committed

fmt: ## format
	cargo fmt --all

# === tests: `make test` is all that CI runs ===

test: lint build test-unit test-db test-api test-charts test-system test-seeds test-conformance test-clients test-servers test-issuers test-replicas test-cluster ## everything below, in this order
	@$(stage) --summary

prepare: ## install what the tests start: Debian packages, Kubernetes, Prefect, the conformance suite, other clients, servers and issuers
	$(stage) prepare tests/prepare.sh

lint: ## formatting, clippy with warnings as errors, licences, bans and sources of dependencies
	$(stage) lint-format cargo fmt --all --check
	$(stage) lint-clippy cargo clippy --locked --workspace --all-targets -- --deny warnings
	$(stage) lint-dependencies tests/deny.sh

build: ## everything once, for all stages
	$(stage) build cargo build --locked --workspace --all-targets

test-unit: build ## rules, steps and services, without anything else running
	$(stage) test-unit cargo test --locked --workspace --lib --bins

test-db: build prepare ## the platform database, and connectors against a real PostgreSQL, a real Prefect and the SQL worker
	$(stage) test-db cargo test --locked --workspace --test isolation --test store --test postgres --test prefect --test datalake

test-api: build prepare ## the operator against a real API server
	$(stage) test-api cargo test --locked --workspace --test operator

test-charts: build prepare ## charts, install.yaml, examples, and what the NetworkPolicies mean
	$(stage) test-charts cargo test --locked --workspace --test charts

test-system: build prepare ## `aperium up` as a person uses it; secrets that come out nowhere
	$(stage) test-system cargo test --locked --workspace --test up --test canary

test-seeds: build ## every curl line and JSON example of the documents about connectors, as written
	$(stage) test-seeds cargo test --locked --workspace --test seeds

test-conformance: build prepare ## the official MCP conformance suite against services and gateway
	$(stage) test-conformance cargo test --locked --workspace --test conformance

test-clients: build prepare ## MCP clients that others wrote, through the gateway
	$(stage) test-clients cargo test --locked --workspace --test clients

test-servers: build prepare ## MCP servers that others wrote, behind the gateway
	$(stage) test-servers cargo test --locked --workspace --test servers

test-issuers: build prepare ## OIDC issuers that others wrote: people sign in there, and agents bring their tokens
	$(stage) test-issuers cargo test --locked --workspace --test issuers

test-replicas: build ## two gateways behind a round robin, one of them killed under load
	$(stage) test-replicas cargo test --locked --workspace --test replicas

test-cluster: build prepare images ## a real single-node Kubernetes: install, call, break, repair, remove
	$(stage) test-cluster cargo test --locked --workspace --test testbed --test cluster

images: build ## OCI archives of our images, without a container registry
	$(stage) images deploy/images/build.sh

soak: ## heavy tests at their full figures: a million cases, 1000 calls; an hour and a half; writes tests/soak/results/<date>.md (rows="ring token": only these)
	cargo build --locked --workspace --all-targets
	tests/soak/run.sh $(rows)

# === speed ===

bench: ## the gateway beside a direct call, nginx, Envoy and mcp-proxy, in one run; writes bench/results/<date>.md
	$(stage) bench-peers tests/bench/gateway/peers/install.sh
	cargo build --locked --release --package aperium-gateway --package aperium-tests --bins
	cargo test --locked --release --package aperium-gateway --lib --no-run
	taskset -c 0 $(release)/bench-gateway

bench-operator: ## time to the last child for 1, 100 and 1000 Connectors, beside a bare client
	cargo build --locked --release --package aperium-operator --package aperium-tests --bins
	$(release)/bench-operator

.PHONY: help up generate fmt test prepare lint build test-unit test-db test-api test-charts test-system \
	test-seeds test-conformance test-clients test-servers test-issuers test-replicas test-cluster images soak bench bench-operator
