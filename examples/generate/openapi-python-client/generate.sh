#!/usr/bin/env bash
# Generates the package client/parlor_client from openapi.json. Needs openapi-python-client in PATH.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

# Without --fail-on-warning, an operation that it cannot read is left out, and the rest is generated.
openapi-python-client generate --path ../../../openapi.json --config config.yaml --meta none \
    --output-path client/parlor_client --overwrite --fail-on-warning
