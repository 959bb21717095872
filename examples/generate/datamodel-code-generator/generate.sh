#!/usr/bin/env bash
# Generates the module client/parlor_models.py from openapi-3.1.json. Needs datamodel-codegen of datamodel-code-generator in
# PATH.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

mkdir -p client
# It does not read `nullable`, so it takes the document in OpenAPI 3.1, where null is a type. Its default formatter is about
# to change, which it warns of unless one is named.
datamodel-codegen --input ../../../openapi-3.1.json --output client/parlor_models.py --formatters builtin
