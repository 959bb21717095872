#!/usr/bin/env bash
# Generates functions, types and zod's checks of the answers from openapi.json into the folder client. Needs orval in PATH.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

orval --config orval.config.cjs
