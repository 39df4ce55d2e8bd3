# make help lists the targets.

GO       ?= go
BIN      := bin/etcha
VERSION  := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS  := -s -w -X main.version=$(VERSION)
# The race detector needs a C compiler; without one the tests run without it.
RACE     := $(if $(shell command -v gcc 2>/dev/null || command -v cc 2>/dev/null),-race,)
FUZZTIME ?= 60s
PACKAGES := ./...

.PHONY: help build run test race lint fmt cross fuzz fuzz-short bench bench-peers docs docs-generate docs-check prometheus check soak clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

build: ## build bin/etcha
	@mkdir -p bin
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN) ./go/cmd/etcha

run: ## build, start a throw-away node on loopback and open a shell on it
	@mkdir -p bin
	@CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN) ./go/cmd/etcha
	@$(BIN) demo

test: ## run the tests, with the race detector where there is a C compiler
	$(GO) test $(RACE) -timeout 20m $(PACKAGES)

race: ## run the tests with the race detector
	$(GO) test -race -timeout 20m $(PACKAGES)

fmt: ## format the Go code
	$(GO) tool gofumpt -w $$(git ls-files '*.go')

lint: ## formatting, go vet, staticcheck, error wrapping, shell scripts
	@out=$$($(GO) tool gofumpt -l $$(git ls-files '*.go')); if [ -n "$$out" ]; then echo "not formatted (make fmt):"; echo "$$out"; exit 1; fi
	$(GO) vet $(PACKAGES)
	$(GO) tool staticcheck $(PACKAGES)
	$(GO) tool go-errorlint $(PACKAGES)
	$(GO) mod verify >/dev/null
	$(GO) mod tidy -diff

cross: ## compile the program and the public package for the other systems
	GOOS=darwin GOARCH=arm64 CGO_ENABLED=0 $(GO) build -o /dev/null ./go/cmd/etcha
	GOOS=windows GOARCH=amd64 CGO_ENABLED=0 $(GO) build -o /dev/null ./go/cmd/etcha
	GOOS=linux GOARCH=arm64 CGO_ENABLED=0 $(GO) build -o /dev/null ./go/cmd/etcha
	GOOS=darwin GOARCH=arm64 CGO_ENABLED=0 $(GO) vet .
	GOOS=windows GOARCH=amd64 CGO_ENABLED=0 $(GO) vet .

fuzz: ## run each fuzz target for FUZZTIME (default 60s)
	@set -e; $(GO) list -f '{{.Dir}}' $(PACKAGES) | while read -r dir; do \
		for target in $$(cat "$$dir"/*_test.go 2>/dev/null | sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p'); do \
			echo "fuzz $$target ($$(basename "$$dir"))"; \
			(cd "$$dir" && $(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) .) || exit 1; \
		done; \
	done

fuzz-short: ## run each fuzz target for a moment
	@$(MAKE) --no-print-directory fuzz FUZZTIME=3s

bench: ## Go benchmarks of the pieces
	$(GO) test -run '^$$' -bench . -benchmem $(PACKAGES)

docs-generate: build ## write the reference pages that the code knows
	$(BIN) docs --out docs/references

docs-check: build ## fail when a generated reference page is not current
	$(BIN) docs --out docs/references --check

docs: ## render docs/ into hugo/public with hugo
	@command -v hugo >/dev/null || { echo 'error: hugo is not installed'; echo 'hint: apt-get install hugo'; exit 1; }
	hugo --source hugo --quiet --cleanDestinationDir

prometheus: ## check the alert rules and run their tests
	@command -v promtool >/dev/null || { echo 'error: promtool is not installed'; echo 'hint: apt-get install --no-install-recommends prometheus'; exit 1; }
	promtool check rules config/prometheus/*.rules.yml
	promtool check config --syntax-only config/prometheus/prometheus.yml
	cd config/prometheus && promtool test rules *.test.yml

soak: ## a thousand idle sessions for ten minutes; prints what they cost
	ETCHA_SOAK=10m $(GO) test ./go/e2e -run TestSoak -timeout 40m -v

check: lint cross docs-check docs prometheus test fuzz-short ## everything CI runs

clean: ## remove what the other targets made
	rm -rf bin hugo/public hugo/resources
