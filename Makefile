# Monban. `make help` lists what there is to make.
SHELL := bash
.DEFAULT_GOAL := help
export CGO_ENABLED := 0

GO     ?= go
BINARY ?= monban
CACHE  := .cache
FUZZTIME ?= 20s

# The version is a literal that the builder writes into main.go, so the linker can't set it.
# The build gets a copy of main.go instead that has the commit, through an overlay.
BASE    := $(shell sed -n 's/^  version: *\([^ ]*\).*/\1/p' builder-config.yaml)
TAG     := $(shell git describe --tags --exact-match 2>/dev/null)
COMMIT  := $(shell git rev-parse --short=12 HEAD 2>/dev/null)
DIRTY   := $(shell test -n "$(COMMIT)" && ! git diff --quiet HEAD -- 2>/dev/null && echo .dirty)
VERSION ?= $(or $(TAG:v%=%),$(BASE))$(if $(COMMIT),+$(COMMIT)$(DIRTY))

tool := $(GO) tool -modfile=internal/tools/go.mod
lint := $(GO) tool -modfile=internal/tools/lint/go.mod
metadata := $(wildcard */*/metadata.yaml)

.PHONY: help
help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 18

.PHONY: build
build: ## the binary: ./monban
	@mkdir -p $(CACHE)/stamp
	@sed 's|^\(\t\tVersion: *"\)[^"]*|\1$(VERSION)|' main.go >$(CACHE)/stamp/main.go
	@printf '{"Replace": {"main.go": "%s"}}\n' $(CACHE)/stamp/main.go >$(CACHE)/stamp/overlay.json
	$(GO) build -trimpath -buildvcs=false -overlay=$(CACHE)/stamp/overlay.json -ldflags="-s -w" -o $(BINARY) .

.PHONY: demo
demo: build ## learn a small plant from a capture, and find five events in it
	./$(BINARY) --config pcap:testbed/lab/demo.pcap.gz

.PHONY: test
test: tools ## everything that must hold before a change goes in
	@failed=; for step in vet lint check-generated vulnerabilities unit fuzz-short; do \
		echo "== $$step"; $(MAKE) --no-print-directory $$step || failed="$$failed $$step"; done; \
	if [ -n "$$failed" ]; then echo "make test: failed:$$failed" >&2; exit 1; fi

.PHONY: tools
tools: ## fetch what the tests need
	@internal/tools/install.sh

.PHONY: vet
vet:
	$(GO) vet ./...
	$(GO) -C internal/tools vet ./...

.PHONY: unit
unit: ## all tests of the code and of the real binary
	$(GO) test -timeout=30m ./...

.PHONY: test-servers
test-servers: ## every fault with real brokers and search nodes; java, half an hour
	MONBAN_REQUIRE_SERVERS=1 MONBAN_LONG=1 $(GO) test -count=1 -timeout=60m -p=1 ./internal/kafka/... ./testbed/servers/... ./testbed/outlets/...

.PHONY: lint
lint: ## golangci-lint
	$(lint) golangci-lint run --allow-parallel-runners ./...

.PHONY: vulnerabilities
vulnerabilities: ## govulncheck, where its database can be reached
	@internal/tools/vulnerabilities.sh

.PHONY: generate
generate: ## write all generated files again
	$(tool) builder --config=builder-config.yaml --skip-get-modules --skip-compilation 2>/dev/null
	for m in $(metadata); do $(tool) mdatagen $$m || exit 1; done
	$(GO) generate -skip='mdatagen|vendors\.bin' ./...
	gofmt -w main*.go components.go $(wildcard $(addsuffix generated_*.go,$(dir $(metadata))))
	$(GO) -C internal/tools build -o ../../$(CACHE)/notices ./notices
	$(CACHE)/notices

.PHONY: check-generated
check-generated: ## go.mod, manifest and generated files must agree
	$(GO) -C internal/tools test ./...
	$(GO) -C internal/tools build -o ../../$(CACHE)/drift ./drift
	$(CACHE)/drift
	internal/tools/check-generated.sh

.PHONY: vendors
vendors: ## the table of hardware vendors again, from the npm registry
	$(GO) generate -run='vendors\.bin' ./internal/oui

.PHONY: bench
bench: build ## benchmarks of the hot paths, and the binary beside other flow meters where they are
	MONBAN_BINARY=$(abspath $(BINARY)) testbed/bench/run.sh

.PHONY: load
load: build ## live over veth, at rising rates, beside other programs; needs root
	@mkdir -p $(CACHE)/load
	$(GO) build -o $(CACHE)/load/load ./testbed/load
	$(CACHE)/load/load -monban ./$(BINARY) $(LOAD)

.PHONY: gateways
gateways: build ## one gateway against two, and one killed in the middle, with a real broker; java, root
	@mkdir -p $(CACHE)/load
	$(GO) build -o $(CACHE)/load/gateways ./testbed/load/gateways
	$(CACHE)/load/gateways -monban ./$(BINARY) $(LOAD)

.PHONY: quality
quality: ## what is found in labelled captures, with figures
	$(GO) test -count=1 -v ./testbed/quality/... ./testbed/exactness/...

.PHONY: fuzz
fuzz: ## every fuzz target for FUZZTIME (20s)
	@internal/tools/fuzz.sh $(FUZZTIME)

.PHONY: fuzz-short
fuzz-short: ## some hundred inputs for each fuzz target of what reads packets and files
	@internal/tools/fuzz.sh 300x 2 '^\./internal/(app|device|durable|event|flatjson|flow|form|jsonmap|netflow|oneword|oui|packet|probe) ' >$(CACHE)/fuzz.log || { cat $(CACHE)/fuzz.log; exit 1; }
	@sed -n '/^== summary/,$$p' $(CACHE)/fuzz.log

.PHONY: clean
clean: ## remove what was built
	rm -rf $(BINARY) $(CACHE)
