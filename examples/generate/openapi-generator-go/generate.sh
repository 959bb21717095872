#!/usr/bin/env bash
# Generates the package client from openapi.json. Needs openapi-generator-cli in PATH.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

# Without the third property, the client refuses an answer that has a member which is newer than the client.
properties=packageName=parlor,withGoMod=false,disallowAdditionalPropertiesIfNotPresent=false

rm -rf client
# Its tests would need packages beyond the standard library.
openapi-generator-cli generate --generator-name go --input-spec ../../../openapi.json --output client \
    --additional-properties "$properties" \
    --global-property apiTests=false,modelTests=false
