# `make test` runs everything that has to hold before a change is done.

CARGO ?= cargo
# Two show what the classic standby loses, and end with exit code 3.
SCENARIOS := $(filter-out scenarios/standby_partition.toml scenarios/standby_lagging_backup.toml, $(sort $(wildcard scenarios/*.toml)))

# Optimised builds have real networks, on the libtorch that "make libtorch" fetches or that LIBTORCH names; `make test TORCH=` does
# without. Debug builds never have them, so that both are built, and both write the same results.
TORCH ?= --features torch
ifneq ($(TORCH),)
export LIBTORCH ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/idunno/libtorch-2.11.0
NEEDED := libtorch
endif

# The optimised build of tests: like a release, and built in half the time.
QUICK := --profile quick

# Random cases are the same on every run; `PROPTEST_RNG_SEED=2 make test` tries others.
export PROPTEST_RNG_SEED ?= 1

.PHONY: test format lint docs units libtorch torch bench-once same-bytes fuzz-short reference fuzz campaign targets mutants deny results bench clean

test: format lint docs units torch bench-once same-bytes fuzz-short reference

format:
	$(CARGO) fmt --all --check

# In the profile of the tests of real networks, so that their C++ is compiled once; and what there is without networks.
lint: $(NEEDED)
	$(CARGO) clippy --locked $(QUICK) $(TORCH) --all-targets -- -D warnings
ifneq ($(TORCH),)
	$(CARGO) clippy --locked $(QUICK) --lib --bins -- -D warnings
endif

docs:
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked $(QUICK) --no-deps

# Fetches the pinned libtorch into a folder of the user, once, and prints where it is.
libtorch:
	@if [ -n "$(LIBTORCH)" ] && [ -e "$(LIBTORCH)/lib" ]; then echo "$(LIBTORCH)"; else scripts/libtorch.sh $(LIBTORCH); fi

# Real networks: training, inference, and a cluster that serves them.
torch: $(NEEDED)
ifneq ($(TORCH),)
	$(CARGO) test --locked $(QUICK) $(TORCH) --test torch
endif

# nextest runs each test in a process of its own and shows what is slow; plain cargo does as well.
units:
	@if $(CARGO) nextest --version >/dev/null 2>&1; then \
	    $(CARGO) nextest run --locked && $(CARGO) test --locked --doc; \
	else \
	    $(CARGO) test --locked; \
	fi

# Each benchmark once, to see that it works.
bench-once: $(NEEDED)
	$(CARGO) bench --locked $(QUICK) $(TORCH) -- --test

# The programs that tests and benchmarks were built with, or have them built. Without tests some libraries have fewer features, so that
# `cargo build` would compile nearly everything once more.
DEBUG := $(CARGO) test --locked --no-run --test it
OPTIMISED := $(CARGO) bench --locked $(QUICK) $(TORCH) --no-run

# The same seed gives the same bytes of every result file in a debug and in an optimised build, also where something breaks (exit code 3).
same-bytes: $(NEEDED)
	$(DEBUG)
	$(OPTIMISED)
	rm -rf target/same-bytes
	target/debug/idunno sim coord_fail --trials 2 --quiet --threads 1 --out target/same-bytes/debug
	target/quick/idunno sim coord_fail --trials 2 --quiet --threads 2 --out target/same-bytes/quick
	target/debug/idunno sim standby_partition --trials 2 --quiet --threads 1 --out target/same-bytes/debug; test $$? = 3
	target/quick/idunno sim standby_partition --trials 2 --quiet --threads 2 --out target/same-bytes/quick; test $$? = 3
	diff -r target/same-bytes/debug target/same-bytes/quick
	@echo "The same bytes in a debug and an optimised build, with one thread and two."

# What every shipped scenario shows, run anew: summaries and pictures are those of results/reference, byte for byte.
reference: target/reference
	diff -r target/reference results/reference
	@echo "Summaries and pictures of the shipped scenarios are as they were."

# What is kept of a run: the summary, and the pictures that scale.
.PHONY: target/reference
target/reference: $(NEEDED)
	$(OPTIMISED)
	rm -rf target/reference target/shipped
	target/quick/idunno sim $(SCENARIOS) --quiet --out target/shipped
	set -e; for run in target/shipped/*/sim; do \
	    kept=target/reference/$$(basename $$(dirname $$run)); \
	    mkdir -p $$kept; \
	    cp $$run/summary.csv $$run/*.svg $$kept; \
	done
	rm -rf target/shipped

# Every shipped scenario under a thousand seeds; takes about fifteen minutes on two cores.
campaign:
	IDUNNO_SEEDS=1000 $(CARGO) test --locked --release --test it every_shipped_scenario_is_clean -- --nocapture

# A few hundred drawn scenarios under every profile: seconds, with the binary that is there anyway.
SHORT := 300
fuzz-short: $(NEEDED)
	$(OPTIMISED)
	set -e; for profile in $(PROFILES); do \
	    target/quick/idunno fuzz --profile $$profile --seeds $(SHORT) --quiet; \
	done
	@echo "Nothing broke in $(SHORT) drawn scenarios of each profile."

# Drawn scenarios under every profile: a long campaign, which fails also when a kind of fault never took effect or a point of
# interest was never reached. `make fuzz SEEDS=100000` goes on for longer.
SEEDS ?= 10000
PROFILES := swarm elections partitions churn work disks stories files
fuzz:
	$(CARGO) build --locked --release
	set -e; for profile in $(PROFILES); do \
	    target/release/idunno fuzz --profile $$profile --seeds $(SEEDS) --require-coverage; \
	done

# What the protocol shall reach, measured in simulation: one table, printed and in results/targets.csv. Takes about an hour on two cores,
# can be stopped, and goes on where it was. `make targets PARTS="failover evictions:1-240"` measures some of it only; the
# parts are explained in measure.sh.
PARTS ?=
targets:
	$(CARGO) build --locked --release
	scenarios/targets/measure.sh target/release/idunno results $(PARTS)

# Every planted bug is looked for until it is found, in up to four thousand scenarios where `make test` gives up after 2,000, one table;
# minutes.
mutants:
	IDUNNO_SEEDS=4000 $(CARGO) test --locked --test it every_planted_bug_is_found_and_made_small -- --nocapture

# Licences, bans and sources of everything that we depend on; needs cargo-deny.
deny:
	$(CARGO) deny --locked check licenses bans sources

# The summaries and pictures of results/reference, anew; to be looked at before they are committed.
results: target/reference
	rm -rf results/reference
	cp -r target/reference results/reference

bench:
	$(CARGO) bench --locked

clean:
	$(CARGO) clean
