# Short names for what one does here; `just` lists them.

_default:
    @just --list

# Watch a team of agents work
demo *ARGS:
    cargo run --release -- demo {{ARGS}}

# Run the gateway
serve *ARGS:
    cargo run --release -- serve {{ARGS}}

# The whole suite, or the tests whose name contains FILTER
test *FILTER:
    cargo test {{FILTER}}

# The simulation by hand: so many seeds from a random one on; it says which one breaks something and how to see that again
sim SEEDS="20000":
    HALLWARD_SIM_SEEDS={{SEEDS}} HALLWARD_SIM_START=random cargo test --test it sim::seeds:: -- --nocapture --test-threads 1

# What so many seeds came to, a line for each: before and after a change that is to change nothing, for `diff`
histories FILE SEEDS="1250":
    rm -f {{FILE}}
    HALLWARD_SIM_HISTORIES={{FILE}} HALLWARD_SIM_SEEDS={{SEEDS}} cargo test --test it sim::seeds:: -- --test-threads 1
    sort -o {{FILE}} {{FILE}}

# Formatting and lints
lint:
    cargo fmt --check
    cargo clippy --all-targets -- -D warnings

# Write the schemas anew after a change to the wire types
bless:
    HALLWARD_BLESS=1 cargo test --test it schemas::

# Licences, bans and advisories of the dependencies
deny:
    cargo deny check

# What continuous integration runs
ci:
    .ci/run
