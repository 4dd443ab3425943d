# Each target is one or two commands; `make help` lists them.
# What is downloaded or built once lies in $(RHEO_CACHE) and is shared by all clones.

export RHEO_CACHE ?= $(HOME)/.cache/rheobase
export PATH := $(RHEO_CACHE)/tools/bin:$(PATH)

# Features beside the defaults, the same for checks, tests and benchmarks, so that nothing is built twice; `make demo` and a plain `cargo build` do without.
FEATURES ?= rheo-coordinator/s3,rheo-coordinator/jemalloc
with := --features "$(FEATURES)"

PREFIX ?= $(HOME)/.local
target = $(or $(CARGO_TARGET_DIR),target)
programs = --bin rheo --bin rheo-worker

.PHONY: help libtorch install uninstall wheel test-dist demo test test-slurm test-kubernetes check bench bench-sweep bench-coordinator bench-search test-core e2e bless pictures

help: ## List the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## /  make \1\t/p' Makefile | expand -t 20

libtorch: ## Put libtorch at .libtorch, or check the one in LIBTORCH
	@deploy/libtorch.sh

# What is installed says which commit it was built from.
dist = RHEO_COMMIT="$$(git describe --always --dirty --abbrev=12)" cargo build --locked --profile dist $(programs) $(with)

install: libtorch ## Install the programs and the libraries they need below PREFIX (~/.local)
	$(dist)
	deploy/install.sh "$(target)/dist" "$(PREFIX)"

uninstall: ## Remove what `make install` put below PREFIX (~/.local)
	deploy/uninstall.sh "$(PREFIX)"

wheel: libtorch ## Pack the programs into two wheels in target/wheels, for pip
	$(dist)
	deploy/wheel.py "$(target)/dist" "$(target)/wheels"

test-dist: wheel ## Try what is installed: its size, the prefix, the wheels in a fresh environment (optimised; not part of CI)
	tests/dist.sh "$(target)/dist" "$(target)/wheels"

demo: libtorch ## Train the three kinds of networks on two workers and look at the results
	@[ -x "$(target)/demo/rheo" ] || echo "Building rheo and rheo-worker from about 420 packages: 13 minutes of processor time, 7 to 13 minutes on two cores, and only this once."
	cargo build --locked --profile demo $(programs)
	"$(target)/demo/rheo" run sweeps/demo.yaml --workers 2

test: libtorch ## Run every test
	deploy/tools.sh cargo-nextest python torch
	-deploy/tools.sh s3
	cargo build --locked --quiet --bins $(with)
	cargo nextest run --locked --workspace --cargo-quiet $(with) -E 'not binary(slurm) and not binary(kubernetes)'
	cargo test --locked --quiet --workspace --doc $(with)

test-slurm: libtorch ## Run sweeps on a real Slurm of several virtual nodes on this machine
	cargo build --locked --quiet --bins $(with)
	cargo test --locked --quiet --workspace --test slurm $(with) -- --test-threads=1

check: libtorch ## Formatting, lints, licences, unused dependencies, spelling, images, the chart
	deploy/tools.sh cargo-deny cargo-machete typos hadolint helm
	cargo fmt --check
	cargo clippy --locked --workspace --all-targets $(with) -- -D warnings
	cargo deny --log-level error check bans licenses sources
	cargo machete
	typos
	hadolint deploy/docker/Dockerfile
	deploy/kubernetes/render.py

bench: libtorch ## Run the benchmarks: parts, then whole training steps in turn with PyTorch's
	cargo bench --locked --workspace --bench '*'
	python3 bench/step.py

bench-sweep: libtorch ## Time whole sweeps: against Optuna with PyTorch, and slots against threads
	python3 bench/sweep/makespan.py
	python3 bench/sweep/slots.py

bench-coordinator: libtorch ## Load a coordinator with workers that train nothing, beside HyperQueue and Optuna
	FEATURES="$(FEATURES)" python3 bench/coordinator/run.py

bench-search: ## Judge the samplers beside Optuna's; SMOKE=1 for five minutes of it, JUDGE="--help" for its options
	bench/search/judge.sh $(if $(SMOKE),--smoke) $(JUDGE)

test-core: ## Run the quick tests: no libtorch, no DataFusion
	deploy/tools.sh cargo-nextest
	cargo nextest run --locked -p rheo-core -p rheo-model -p rheo-store -p rheo-proto

test-kubernetes: libtorch ## Run fleets on a real control plane of Kubernetes, where its programs are at hand
	deploy/tools.sh cargo-nextest helm
	cargo build --locked --quiet --bins $(with)
	FEATURES="$(FEATURES)" tests/kubernetes/run.sh

e2e: libtorch ## Run the tests with real processes
	deploy/tools.sh cargo-nextest python
	-deploy/tools.sh s3
	cargo build --locked --quiet --bins $(with)
	cargo nextest run --locked --workspace -E 'package(rheo-tests)' $(with)

bless: libtorch ## Accept what generated files and snapshots say now
	deploy/tools.sh cargo-nextest helm python torch
	-deploy/tools.sh s3
	cargo build --locked --quiet --bins $(with)
	python3 deploy/kubernetes/render.py --bless
	INSTA_UPDATE=always RHEO_BLESS=1 cargo nextest run --locked --workspace $(with)

pictures: libtorch ## Draw the pictures of README and docs from a real run
	deploy/tools.sh python
	cargo build --locked --quiet --bins $(with)
	docs/pictures.sh "$(target)/debug"
