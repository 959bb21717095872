#!/usr/bin/env bash
# Every example does its work on a real server, and says what is wrong when it cannot.

source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
source scripts/tools.sh

created=0

# check NAME COMMAND...: the example creates a chat, and fails with the server's problem when its key is wrong.
check() {
    local name=$1
    shift
    succeeds "$name" "$@"
    python3 scripts/check_example.py "$name" "$temp/out" "$temp/err"
    created=$((created + 1))
    refused_with_wrong_key "$@"
}

# check_with_and_without_key NAME COMMAND...: without a key, the example also says which variable is to be set.
check_with_and_without_key() {
    check "$@"
    shift
    refused_without_key "$@"
}

# succeeds NAME COMMAND...: keeps the command's output in `$temp/out` and `$temp/err`.
succeeds() {
    local name=$1
    shift
    step "$name: $*"
    PARLOR_API_KEY=$server_key timeout --foreground 60 "$@" >"$temp/out" 2>"$temp/err" ||
        failed "fails with the right key"
}

refused_with_wrong_key() {
    if PARLOR_API_KEY=$(throw_away_key) timeout --foreground 60 "$@" >"$temp/out" 2>"$temp/err"; then
        failed "succeeds with a wrong key"
    fi
    grep -qi unauthorized "$temp/out" "$temp/err" || failed "does not show the problem when the key is wrong"
}

refused_without_key() {
    if env -u PARLOR_API_KEY timeout --foreground 60 "$@" >"$temp/out" 2>"$temp/err"; then
        failed "succeeds without a key"
    fi
    grep -q PARLOR_API_KEY "$temp/err" || failed "does not say that PARLOR_API_KEY is missing"
}

failed() {
    cat "$temp/out" "$temp/err" >&2
    fail "The example $1; its output is above."
}

# answered OPERATION STATUS: how often the server has answered so.
answered() {
    local requests
    requests=$(curl --silent --show-error --fail "$server_url/metrics" |
        sed -n "s/^parlor_http_requests_total{operation=\"$1\",status=\"$2\"} //p")
    echo "${requests:-0}"
}

# Each operation of the API that the server has carried out, and how often.
successes() {
    curl --silent --show-error --fail "$server_url/metrics" |
        sed -n 's/^parlor_http_requests_total{operation="\([a-z]*_[a-z_]*\)",status="2.."} /\1 /p' | LC_ALL=C sort
}

# The operations of the API.
operations() {
    python3 -c 'import json
paths = json.load(open("openapi.json"))["paths"].values()
print(*sorted(operation["operationId"] for methods in paths for operation in methods.values()), sep="\n")'
}

# The ids of all chats of the tenant, a line each.
chats() {
    curl --silent --show-error --fail --header "X-API-Key: $server_key" "$server_url/api/v1/chats/?limit=100" |
        python3 -c 'import json, sys; print(*(chat["id"] for chat in json.load(sys.stdin)["chats"]), sep="\n")'
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
counted=$(answered create_chat 201)
((counted == created)) || fail "The server created $counted chats, the examples printed $created."
echo "$counted chats"

# This one deletes what it has created.
support_inbox=(cargo run -q -p parlor-examples --example support_inbox)
before=$(chats)
successes >"$temp/before"
succeeds support_inbox "${support_inbox[@]}"
successes >"$temp/after"
cat "$temp/out"
[[ $(tail -n 1 "$temp/out") == "done" ]] || failed "does not end with the line 'done'"
opened=$(($(answered create_chat 201) - created))
((opened > 0)) || failed "has created no chat"
[[ $(chats) == "$before" ]] || failed "has left chats behind"
echo "created $opened chats and left none behind"
diff <(operations) <(LC_ALL=C comm -13 "$temp/before" "$temp/after" | cut -d ' ' -f 1) >&2 ||
    failed "does not use every operation ('<'), as README.md says it does"
refused_with_wrong_key "${support_inbox[@]}"
refused_without_key "${support_inbox[@]}"

# Two terminals, one after the other: the second sees what was said in the first. What they read stays open until what is
# to be seen was seen.
live_chat=(cargo run -q -p parlor-examples --example live_chat --)
talk() { # INPUT LINE COMMAND...: types INPUT, waits for LINE, and ends the program.
    local input=$1 line=$2
    shift 2
    mkfifo "$temp/keys"
    PARLOR_API_KEY=$server_key "$@" <"$temp/keys" >"$temp/out" 2>"$temp/err" &
    local program=$!
    ends_with_stage "$program"
    exec 9>"$temp/keys"
    if [[ -n $input ]]; then echo "$input" >&9; fi
    wait_until 60 grep -q -- "$line" "$temp/out" || failed "does not show '$line'"
    echo /quit >&9
    exec 9>&-
    wait "$program" || failed "ends with an error"
    rm "$temp/keys"
    cat "$temp/out"
}
step live_chat
talk "good morning" "(stored as 1)" "${live_chat[@]}" ada
chat=$(sed -n 's/^chat //p' "$temp/out")
talk "" "good morning" "${live_chat[@]}" grace "$chat"
refused_with_wrong_key "${live_chat[@]}" ada </dev/null
refused_without_key "${live_chat[@]}" ada </dev/null
