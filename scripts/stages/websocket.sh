#!/usr/bin/env bash
# The cases of the Autobahn test suite, by kosoku, against the server's own handshake and stream.

source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
source scripts/tools.sh

# Not those of performance (9), which send more than a message may have, nor those of compression (12, 13), which is not
# offered.
left_out=(-x '9.*' -x '12.*' -x '13.*')
cases=247

need_curl
need_python_tools
cargo_options=(--features echo)
start_server

step "kosoku"
"$python_bin/kosoku" --mode fuzzingclient "${left_out[@]}" --parallelism 8 --outdir "$temp/report" \
    "${server_url#http://}/ws/echo" | tee "$temp/kosoku.out" ||
    fail "Not every case passes; the names are above."
# A case that is never run does not fail.
grep -qx "$cases cases passed" "$temp/kosoku.out" || fail "There are not $cases cases."
