#!/usr/bin/env bash
# Generates the types client/schema.d.ts from openapi.json; openapi-fetch does the rest. Needs openapi-typescript in
# PATH.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

openapi-typescript ../../../openapi.json --output client/schema.d.ts
