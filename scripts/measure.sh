#!/usr/bin/env bash
# Measures what a developer and an operator wait for and pay: a debug build of the workspace from nothing, the release
# binary's size, the time from its start to its first answer, and its memory when idle. Prints one table; the machine's
# name is part of it. About eight minutes on two cores.
set -euo pipefail
cd "$(dirname "$0")/.."

scratch=$(mktemp -d)
server=""
finish() {
    if [ -n "$server" ]; then kill "$server" 2>/dev/null || true; fi
    rm -rf "$scratch"
}
trap finish EXIT

seconds_of() { # COMMAND... -> seconds
    local started ended
    started=$(date +%s.%N)
    "$@" >"$scratch/log" 2>&1 || { cat "$scratch/log" >&2; return 1; }
    ended=$(date +%s.%N)
    echo "$ended $started" | awk '{ printf "%.1f", $1 - $2 }'
}

cargo fetch --locked
debug=$(CARGO_TARGET_DIR="$scratch/target" seconds_of cargo build --workspace --all-targets --locked)
rm -rf "$scratch/target"
release=$(seconds_of cargo build --release --locked)
binary="${CARGO_TARGET_DIR:-target}/release/parlor"

started=$(date +%s%N)
PARLOR_BOOTSTRAP_API_KEY=measure-bootstrap-key PARLOR_LISTEN=127.0.0.1:0 DATABASE_URL="sqlite://$scratch/parlor.db" \
    PARLOR_LOG=warn "$binary" >"$scratch/out" &
server=$!
url=""
until [ -n "$url" ]; do
    kill -0 "$server" || exit 1
    url=$(sed -n 's/^Parlor listens on //p' "$scratch/out")
done
curl --silent --fail --output /dev/null "$url/readyz"
answered=$(date +%s%N)
memory() { awk '/VmRSS/ { printf "%.1f", $2 / 1024 }' "/proc/$server/status"; }
idle=$(memory)
for _ in $(seq 500); do
    curl --silent --fail --output /dev/null -X POST "$url/api/v1/chats/" -H "X-API-Key: measure-bootstrap-key" \
        -H "Content-Type: application/json" -d '{"user_id": "user123"}'
done
used=$(memory)

cpu=$(awk -F': ' '/model name/ { print $2; exit }' /proc/cpuinfo)
cat <<TABLE
machine                                   $(nproc) cores, $cpu
debug build of the workspace and tests    $debug s
release build, what is cached kept        $release s
release binary                            $(stat -c %s "$binary" | awk '{ printf "%.1f", $1 / 1048576 }') MiB
start to first answer, new database       $(((answered - started) / 1000000)) ms
resident when idle                        $idle MiB
resident after 500 chats                  $used MiB
TABLE
