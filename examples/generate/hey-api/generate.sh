#!/usr/bin/env bash
# Generates the module client from openapi.json, with a client on fetch. Needs openapi-ts of @hey-api/openapi-ts in PATH.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

openapi-ts --input ../../../openapi.json --output client --no-log-file
