#!/usr/bin/env bash
# Generates the package client/parlor_client from openapi.json. Needs openapi-generator-cli in PATH.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

rm -rf client
openapi-generator-cli generate --generator-name python --input-spec ../../../openapi.json --output client \
    --package-name parlor_client \
    --global-property apiTests=false,modelTests=false
