#!/usr/bin/env bash
# The Rust tests of the whole workspace, documentation tests included, on SQLite.

source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

# The tests take PostgreSQL when this is set; that is the stage `postgres`.
unset PARLOR_TEST_POSTGRES_URL
cargo test --workspace --no-fail-fast
