# Sandwarden: everything a developer or a machine needs, from an empty Debian or Ubuntu with Node >= 20 and npm.
# `make` alone lists the targets. Nothing here calls sudo; what needs root says so.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-builtin-rules --no-print-directory
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

NODE_VERSION := 24.21.0
ARCH := $(if $(filter aarch64 arm64,$(shell uname -m)),arm64,x64)
TOOLS := $(CURDIR)/.tools/node_modules/node-linux-$(ARCH)
NODE := $(TOOLS)/bin/node
# The fetched Node comes first, so that npm and every `env node` below run on it.
export PATH := $(TOOLS)/bin:$(CURDIR)/node_modules/.bin:$(PATH)

PREFIX ?= /usr/local
DESTDIR ?=
LIB := $(DESTDIR)$(PREFIX)/lib/sandwarden
BIN := $(DESTDIR)$(PREFIX)/bin
SHARE := $(DESTDIR)$(PREFIX)/share

STAMP_NODE := .tools/node-$(NODE_VERSION)-$(ARCH).stamp
STAMP_DEPS := .tools/dependencies.stamp
KOFFI_VERSION := 3.3.4
OTHER_ARCH := $(if $(filter arm64,$(ARCH)),x64,arm64)
STAMP_NATIVE := .tools/koffi-$(KOFFI_VERSION)-$(OTHER_ARCH).stamp
STAMP_APT := .tools/apt.stamp
# `make image`: what the image is called, and what it is for (amd64 or arm64); another Node is fetched like our own one.
IMAGE ?= sandwarden:$(shell sed -n 's/^  "version": "\(.*\)",$$/\1/p' package.json)
IMAGE_ARCH ?= $(ARCH)
IMAGE_CPU := $(patsubst amd64,x64,$(IMAGE_ARCH))
OTHER_NODE := $(CURDIR)/.tools/other/node_modules/node-linux-$(OTHER_ARCH)
STAMP_OTHER := .tools/other-node-$(NODE_VERSION)-$(OTHER_ARCH).stamp
STAMP_LAB := .cache/lab.stamp
SOURCES := $(shell find src proto -type f 2>/dev/null)
NPM := npm --no-audit --no-fund --no-update-notifier --loglevel=error
say = @printf '%-8s %s\n' '$(1)' '$(2)'

.PHONY: help setup build demo demo-real test test-fast lab lab-cluster lint format generate docs bench bench-boot \
	lab-install apt image install uninstall clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: $(STAMP_DEPS) ## Fetch Node 24 and the locked dependencies into this folder

$(STAMP_NODE):
	$(call say,setup,Node $(NODE_VERSION) for linux-$(ARCH))
	@mkdir -p .tools
	@$(NPM) install --prefix .tools --no-save --ignore-scripts node-linux-$(ARCH)@$(NODE_VERSION) >/dev/null
	@test "$$($(NODE) --version)" = v$(NODE_VERSION)
	@touch $@

# `npm ci` empties node_modules first, so it only runs where what is installed differs from the lock file.
$(STAMP_DEPS): package-lock.json $(STAMP_NODE)
	@if ! $(NODE) tools/installed.ts; then \
	  printf '%-8s %s\n' setup 'locked dependencies'; \
	  $(NPM) ci --ignore-scripts >/dev/null; \
	fi
	@touch $@

# npm installs for the machine it runs on; a bundle is for both. Without it the build serves this machine's alone.
$(STAMP_NATIVE): $(STAMP_NODE)
	@$(NPM) install --prefix .tools/native --no-save --ignore-scripts --force --os=linux --cpu=$(OTHER_ARCH) \
	  @koromix/koffi-linux-$(OTHER_ARCH)@$(KOFFI_VERSION) >/dev/null 2>&1 && touch $@ || \
	  printf '%-8s %s\n' setup 'without koffi for $(OTHER_ARCH): it could not be fetched'

build: dist/sandwarden.js ## Bundle the program into dist/

dist/sandwarden.js: $(STAMP_DEPS) $(SOURCES) tools/build.ts package.json tsconfig.json | $(STAMP_NATIVE)
	@$(NODE) tools/build.ts

demo: build ## A power cut on the embedded node: check, heal, check (no root, no containerd)
	@$(NODE) dist/sandwarden.js demo

demo-real: build $(STAMP_LAB) ## The same on a real containerd (root)
	@$(NODE) lab/demo.ts

test: build $(if $(filter 0,$(shell id -u)),$(STAMP_APT) $(STAMP_LAB)) ## All tests; as root also the real containerd
	@$(NODE) tools/test.ts

test-fast: build ## The tests that need neither root nor a containerd
	@$(NODE) tools/test.ts --fast

lab: build ## The long matrix: power cuts in a virtual machine, every scenario on both containerds (root, hours)
	@$(NODE) tools/test.ts --lab test/vm/

lab-cluster: build ## A real Kubernetes, made of Debian's source at first (root; some ten minutes, then two)
	@$(NODE) tools/test.ts --lab test/cluster/

lint: $(STAMP_DEPS) ## Types, style, dead code, generated code and pages
	$(call say,lint,types)
	@tsc
	$(call say,lint,style)
	@biome check --error-on-warnings .
	$(call say,lint,dead code)
	@knip --no-progress
	$(call say,lint,generated code)
	@$(NODE) tools/generate.ts --check
	@$(NODE) tools/docs.ts --check
	@if command -v shellcheck >/dev/null; then shellcheck .ci/run tools/*.sh; fi

format: $(STAMP_DEPS) ## Put the sources into the house's form
	@biome check --write .

generate: $(STAMP_DEPS) ## Make src/cri/gen from proto/
	@$(NODE) tools/generate.ts

docs: build ## Make docs/findings from the catalogue
	@$(NODE) tools/docs.ts

bench: build ## Measure against the stated limits
	@env -u NODE_EXTRA_CA_CERTS $(NODE) bench/run.ts

bench-boot: build ## What the boot hook costs, in the virtual machine (root)
	@env -u NODE_EXTRA_CA_CERTS $(NODE) bench/boot.ts --assert

lab-install: $(STAMP_DEPS) ## Fetch containerd 1.6, 1.7 and 2.1 from Debian into .cache/lab (root)
	@$(NODE) lab/install.ts
	@touch $(STAMP_LAB)

# Where they cannot be had (another distribution, no network), the tests that need them skip and say so.
$(STAMP_LAB): lab/install.ts lab/flavours.ts | $(STAMP_DEPS)
	$(call say,setup,containerd of several Debians)
	@mkdir -p $(@D)
	@$(NODE) lab/install.ts && touch $@ || \
	  printf '%-8s %s\n' setup 'without the real containerd: lab/install.ts failed (see above)'

apt: $(STAMP_APT) ## Install what tests use: zsh, fish, shellcheck, xmllint, kubectl (root)

$(STAMP_APT): $(STAMP_DEPS) tools/apt.ts
	@$(NODE) tools/apt.ts
	@touch $@

image: build $(if $(filter $(ARCH),$(IMAGE_CPU)),,$(STAMP_OTHER)) ## An image with the program, as an archive in dist/
	@$(if $(filter x64 amd64 arm64,$(IMAGE_ARCH)),:,$(error IMAGE_ARCH is amd64 or arm64, not $(IMAGE_ARCH)))
	@$(NODE) tools/image.ts --name '$(IMAGE)' --node '$(if $(filter $(ARCH),$(IMAGE_CPU)),$(TOOLS),$(OTHER_NODE))'

$(STAMP_OTHER): $(STAMP_NODE)
	$(call say,setup,Node $(NODE_VERSION) for linux-$(OTHER_ARCH))
	@$(NPM) install --prefix .tools/other --no-save --ignore-scripts --force --os=linux --cpu=$(OTHER_ARCH) \
	  node-linux-$(OTHER_ARCH)@$(NODE_VERSION) >/dev/null
	@touch $@

install: build ## Copy the program and its Node to PREFIX (/usr/local)
	@tools/install.sh '$(NODE)' '$(LIB)' '$(BIN)' '$(SHARE)' '$(PREFIX)'

uninstall: ## Remove what `make install` put there
	@rm -rf '$(LIB)'
	@rm -f '$(BIN)/sandwarden' '$(BIN)/kubectl-sandwarden' '$(SHARE)/bash-completion/completions/sandwarden' \
	  '$(SHARE)/zsh/site-functions/_sandwarden' '$(SHARE)/fish/vendor_completions.d/sandwarden.fish'
	$(call say,removed,$(BIN)/sandwarden)

clean: ## Remove everything that was built or fetched
	@rm -rf dist .cache .tools node_modules
