#!/usr/bin/env bash
# Every example creates a chat on a real server, and says what is wrong when it cannot.

source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
source scripts/tools.sh

created=0

# check NAME COMMAND...: the example creates a chat, and fails with the server's problem when its key is wrong.
check() {
    local name=$1
    shift
    step "$name: $*"
    PARLOR_API_KEY=$server_key timeout --foreground 60 "$@" >"$temp/out" 2>"$temp/err" || failed "does not create a chat"
    python3 scripts/check_example.py "$name" "$temp/out" "$temp/err"
    created=$((created + 1))

    if PARLOR_API_KEY=$(throw_away_key) timeout --foreground 60 "$@" >"$temp/out" 2>"$temp/err"; then
        failed "succeeds with a wrong key"
    fi
    grep -qi unauthorized "$temp/out" "$temp/err" || failed "does not show the problem when the key is wrong"
}

# check_with_and_without_key NAME COMMAND...: without a key, the example also says which variable is to be set.
check_with_and_without_key() {
    check "$@"
    shift
    if env -u PARLOR_API_KEY timeout --foreground 60 "$@" >"$temp/out" 2>"$temp/err"; then
        failed "succeeds without a key"
    fi
    grep -q PARLOR_API_KEY "$temp/err" || failed "does not say that PARLOR_API_KEY is missing"
}

failed() {
    cat "$temp/out" "$temp/err" >&2
    fail "The example $1; its output is above."
}

need_curl
need_node
need_python_tools
start_server
step "build the Rust examples"
cargo build -p parlor-examples --examples
export PARLOR_URL=$server_url

check_with_and_without_key curl examples/curl/create_chat.sh
check_with_and_without_key javascript node examples/javascript/create_chat.mjs
check_with_and_without_key python "$python_bin/python" examples/python/create_chat.py
check_with_and_without_key quickstart cargo run -q -p parlor-examples --example quickstart
# Without a key this one prints its document and nothing else, as it says.
check embed_in_utoipa cargo run -q -p parlor-examples --example embed_in_utoipa

step "the server counted the same number of chats"
curl --silent --show-error --fail "$server_url/metrics" | tee "$temp/metrics" |
    grep '^parlor_http_requests_total{operation="create_chat"'
grep -qx "parlor_http_requests_total{operation=\"create_chat\",status=\"201\"} $created" "$temp/metrics" ||
    fail "The server did not create the $created chats that the examples printed."
