#!/usr/bin/env bash
# Generates the crate client from openapi.json. Needs openapi-generator-cli in PATH.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

rm -rf client
openapi-generator-cli generate --generator-name rust --input-spec ../../../openapi.json --output client \
    --additional-properties packageName=parlor-client \
    --global-property apiTests=false,modelTests=false
