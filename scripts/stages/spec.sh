#!/usr/bin/env bash
# openapi.json against the handlers, three validators and, by Schemathesis, a live server.

source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
source scripts/tools.sh

need_curl
need_python_tools
need_npm_tools

step "openapi.json is up to date"
cargo run -q -p parlor-server -- openapi --check

step "openapi-spec-validator"
"$python_bin/openapi-spec-validator" openapi.json

step "Spectral"
"$npm_bin/spectral" lint openapi.json --ruleset .spectral.yaml --fail-severity hint

step "Redocly"
REDOCLY_TELEMETRY=off "$npm_bin/redocly" lint openapi.json --config redocly.yaml

start_server
step "Schemathesis"
# In the temporary folder, where its database of examples goes; deterministic, so that a failure is seen again.
(
    export SCHEMATHESIS_HOOKS=schemathesis_hooks PYTHONPATH=$PWD/scripts PYTHONDONTWRITEBYTECODE=1
    cd "$temp" || exit
    "$python_bin/st" run "$server_url/openapi.json" --url "$server_url" --header "X-API-Key: $server_key" \
        --checks all --phases examples,coverage,fuzzing,stateful --max-examples 50 --generation-deterministic \
        --continue-on-failure --request-timeout 30
)
