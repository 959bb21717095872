#!/usr/bin/env bash
# The server's Rust tests again, on PostgreSQL: one of its own, or the one of PARLOR_TEST_POSTGRES_URL.

source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
source scripts/tools.sh
source scripts/postgres.sh

if [[ -z ${PARLOR_TEST_POSTGRES_URL:-} ]]; then
    start_postgres
    export PARLOR_TEST_POSTGRES_URL=$postgres_url
fi
step "cargo test"
cargo test -p parlor-server --no-fail-fast
