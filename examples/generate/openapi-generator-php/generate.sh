#!/usr/bin/env bash
# Generates the package client, with the namespace Parlor, from openapi.json. Needs openapi-generator-cli in PATH.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

rm -rf client
openapi-generator-cli generate --generator-name php --input-spec ../../../openapi.json --output client \
    --additional-properties invokerPackage=Parlor,composerPackageName=example/parlor-client \
    --global-property apiTests=false,modelTests=false
