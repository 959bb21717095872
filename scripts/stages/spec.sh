#!/usr/bin/env bash
# openapi.json and asyncapi.json against the code and their validators; the first also, by Schemathesis, a live server.

source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
source scripts/tools.sh

need_curl
need_python_tools
need_npm_tools

step "openapi.json, openapi-3.1.json and asyncapi.json are up to date"
cargo run -q -p parlor-server -- openapi --check
cargo run -q -p parlor-server -- openapi-3.1 --check
cargo run -q -p parlor-server -- asyncapi --check

step "AsyncAPI's own parser"
node scripts/check_asyncapi.mjs asyncapi.json

step "openapi-spec-validator"
"$python_bin/openapi-spec-validator" openapi.json
"$python_bin/openapi-spec-validator" openapi-3.1.json

step "Spectral"
"$npm_bin/spectral" lint openapi.json openapi-3.1.json --ruleset .spectral.yaml --fail-severity hint

step "Redocly"
REDOCLY_TELEMETRY=off "$npm_bin/redocly" lint openapi.json openapi-3.1.json --config redocly.yaml

start_server

# schemathesis FOLDER OPTION...: runs it in a folder of its own, where its configuration is and its memory goes;
# deterministic, so that a failure is seen again.
schemathesis() (
    export SCHEMATHESIS_HOOKS=schemathesis_hooks PYTHONPATH=$PWD/scripts PYTHONDONTWRITEBYTECODE=1
    cd "$1" || exit
    shift
    "$python_bin/st" run "$server_url/openapi.json" --url "$server_url" "$@" \
        --max-examples 50 --generation-deterministic --continue-on-failure --request-timeout 30
)

step "Schemathesis"
mkdir "$temp/tenant"
schemathesis "$temp/tenant" --header "X-API-Key: $server_key" --checks all --phases examples,coverage,fuzzing,stateful

# create_tenant NAME: prints what an auth file of Web Fuzzing Commons says of one with this name and a key.
create_tenant() {
    local key
    "$parlor" tenant create "$1" --database-url "$database_url" >"$temp/tenants/$1.id" &&
        key=$("$parlor" key create --tenant "$1" --database-url "$database_url") &&
        printf '{"name": "%s", "fixedHeaders": [{"name": "X-API-Key", "value": "%s"}]}' "$1" "$key"
}

step "Schemathesis with two tenants"
mkdir "$temp/tenants"
owner=$(create_tenant owner)
stranger=$(create_tenant stranger)
echo "{\"auth\": [$owner, $stranger]}" >"$temp/tenants/auth.json"
printf '[auth.wfc]\npath = "auth.json"\npeers = ["owner", "stranger"]\n' >"$temp/tenants/schemathesis.toml"
schemathesis "$temp/tenants" --checks object_level_authorization,ignored_auth --phases fuzzing,stateful
# It passes, too, if it never found anything of the owner's to ask for as the stranger.
for operation in get_chat list_user_chats; do
    grep -q "tenant=$(<"$temp/tenants/stranger.id") .*operation=\"$operation\" .*status=404 " "$temp/parlor.log" ||
        fail "The stranger never asked for what is the owner's with $operation."
done
