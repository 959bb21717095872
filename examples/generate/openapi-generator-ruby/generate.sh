#!/usr/bin/env bash
# Generates the library client/lib/parlor_client from openapi.json. Needs openapi-generator-cli in PATH.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

rm -rf client
openapi-generator-cli generate --generator-name ruby --input-spec ../../../openapi.json --output client \
    --additional-properties gemName=parlor_client \
    --global-property apiTests=false,modelTests=false
