#!/usr/bin/env bash
# Generates the crate client from openapi.json. Needs cargo-progenitor in PATH.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

rm -rf client
cargo progenitor --input ../../../openapi.json --output client \
    --name parlor-client --version 0.0.0 --interface builder \
    --include-client false
