#!/usr/bin/env bash
# Generates the module client from openapi.json. Needs openapi-generator-cli in PATH.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

rm -rf client
openapi-generator-cli generate --generator-name typescript-fetch --input-spec ../../../openapi.json --output client
