# `make test` runs everything that has to hold before a change is done.

CARGO ?= cargo
SCENARIOS := $(sort $(wildcard scenarios/*.toml))

.PHONY: test format lint docs units bench-once same-bytes campaign deny results bench clean

test: format lint docs units bench-once same-bytes

format:
	$(CARGO) fmt --all --check

lint:
	$(CARGO) clippy --locked --all-targets -- -D warnings

docs:
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps

# nextest runs each test in a process of its own and shows what is slow; plain cargo does as well.
units:
	@if $(CARGO) nextest --version >/dev/null 2>&1; then \
	    $(CARGO) nextest run --locked && $(CARGO) test --locked --doc; \
	else \
	    $(CARGO) test --locked; \
	fi

# Each benchmark once, to see that it works.
bench-once:
	$(CARGO) bench --locked -- --test

# The same seed gives the same bytes of every result file in a debug and in a release build.
same-bytes:
	$(CARGO) build --locked
	$(CARGO) build --locked --release
	rm -rf target/same-bytes
	target/debug/idunno sim coord_fail --trials 2 --quiet --threads 1 --out target/same-bytes/debug
	target/release/idunno sim coord_fail --trials 2 --quiet --threads 2 --out target/same-bytes/release
	diff -r target/same-bytes/debug target/same-bytes/release
	@echo "The same bytes in debug and release, with one thread and two."

# Every shipped scenario under a thousand seeds; takes about fifteen minutes on two cores.
campaign:
	IDUNNO_SEEDS=1000 $(CARGO) test --locked --release --test it every_shipped_scenario_is_clean -- --nocapture

# Licences, bans and sources of everything that we depend on; needs cargo-deny.
deny:
	$(CARGO) deny --locked check licenses bans sources

# Every shipped scenario, into results/.
results:
	$(CARGO) run --locked --release -- sim $(SCENARIOS)

bench:
	$(CARGO) bench --locked

clean:
	$(CARGO) clean
