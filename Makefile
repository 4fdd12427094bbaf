# Everything a user or a CI calls. `make help` lists the targets; each can be called alone, and again.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# ansible.cfg is named outright: Ansible ignores one in a world-writable folder.
export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg
export PATH := $(CURDIR)/.venv/bin:$(PATH)

# resilient or fragile: how well the embedded exchange bears its faults.
PROFILE ?= resilient
# More options for ansible-playbook, e.g. ARGS="-e chaos_report_dir=/var/tmp".
ARGS ?=
# What of the tests and gates make test-full runs.
PARTS ?= lint unit controller lab module shapes e2e fleet crash

.PHONY: help
help: ## List the targets
	@sed -n 's/^\([a-z][a-z-]*\):.*## /\1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 14

##### running

.PHONY: setup demo lab lab-down
setup: ## Prepare this machine to run the playbooks
	@tools/bootstrap run

lab: ## Bring up the embedded exchange (PROFILE=resilient|fragile)
	@tools/bootstrap $(if $(ARGS),run,lab)
	@ANSIBLE_CALLBACK_PLUGINS=tools/callbacks ANSIBLE_CALLBACKS_ENABLED=steps \
	ansible-playbook playbooks/lab.yml -e lab_profile=$(PROFILE) $(ARGS)

demo: ## Bring up the embedded exchange and run experiment 01 against it
	@begin=$$EPOCHREALTIME; \
	$(MAKE) --no-print-directory lab; \
	awk -v a=$$begin -v b=$$EPOCHREALTIME 'BEGIN { printf "✓ Set up in %.1f s; the experiment starts now\n", b - a }'; \
	ansible-playbook playbooks/01-database-sudden-death.yml $(ARGS); rc=$$?; \
	echo "✓ Open the page named above in a browser: one file that needs no network."; \
	echo "  On another machine, copy that file there."; \
	exit $$rc

lab-down: setup ## Take the embedded exchange away
	@ansible-playbook playbooks/lab-down.yml $(ARGS)

##### checking

.PHONY: setup-dev lint test test-quick test-unit test-module test-shapes test-e2e test-fleet test-full test-bare test-vm test-crash bench noise
setup-dev: ## Prepare this machine to run the tests and gates, too
	@tools/bootstrap dev

lint: setup-dev ## The gates alone: style, types, docs, sanity, the built artifact
	@python -m tools.parts lint

test: setup-dev ## Everything but what takes minutes: gates, unit, module, end-to-end and fleet tests
	@python -m tools.parts lint unit controller lab module shapes e2e fleet

test-quick: setup-dev ## For the hand that edits: unit tests with those of the layers, ruff, mypy; none that is slow
	@python -m tools.parts --swift unit ruff types

test-unit: setup-dev ## Tests that need neither root nor Docker, and playbooks on the controller
	@python -m tools.parts unit controller

test-module: setup-dev ## Tests of modules and processes on this machine
	@python -m tools.parts lab module

test-shapes: setup-dev ## Exchanges made otherwise than the embedded one, a trait each
	@python -m tools.parts lab shapes

test-e2e: setup-dev ## Whole experiments on the embedded exchange
	@python -m tools.parts lab e2e

test-fleet: setup-dev ## Several remote exchanges in containers
	@python -m tools.parts lab fleet

test-full: setup-dev ## Everything, with the tests that take minutes (PARTS=fleet: some of it)
	@python -m tools.parts --full $(PARTS)

test-bare: setup-dev ## `make demo`, twice, on a Debian with nothing but make and git
	@tools/bare-debian

test-vm: setup-dev ## Experiments on a stock kernel under emulation (half an hour or more; ARGS="--keep -k 05")
	@python -m tests.vm.run $(ARGS)

test-crash: setup-dev ## Experiments broken at every step: docs/crash-matrix.md (hours; ARGS="--only step=window --minutes 30")
	@ansible-playbook playbooks/lab.yml
	@python -m tests.crash.matrix $(ARGS)

bench: setup-dev ## What an experiment costs on 1, 10 and 50 light hosts
	@ansible-playbook playbooks/lab.yml -e lab_healthcheck_interval=60s  # its image is wanted, and an idle machine
	@python -m tests.bench.control_plane $(ARGS)

noise: setup-dev ## Every experiment beside other work on this machine: docs/noise.md (hours; ARGS="11 12 --noise quiet")
	@python -m tests.bench.noise $(ARGS)

##### releasing

.PHONY: changelog
changelog: setup-dev ## Render CHANGELOG.md from changelogs/fragments for the version in galaxy.yml
	@cd .collections/ansible_collections/exchange/chaos && antsibull-changelog release --update-existing --reload-plugins
