# Shared by the stages. Sourcing it goes to the repository's root, makes a temporary folder, `$temp`, and sees to it that
# the folder and every process named to `ends_with_stage` are gone when the script ends, however it ends.
# shellcheck shell=bash

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Everything here talks to this machine only; a proxy would be asked in vain.
export NO_PROXY=127.0.0.1,localhost no_proxy=127.0.0.1,localhost

temp=$(mktemp -d "${TMPDIR:-/tmp}/parlor-test.XXXXXX")
pids=()
logs=()
cargo_options=()
trap 'clean_up $?' EXIT
trap 'exit 130' INT
trap 'exit 129' HUP
trap 'exit 143' TERM

fail() {
    echo "error: $*" >&2
    exit 1
}

step() {
    echo "--- $*"
}

# ends_with_stage PID: SIGINT, which both Parlor and PostgreSQL take as an order to finish soon, then SIGKILL.
ends_with_stage() {
    pids+=("$1")
}

# shown_on_failure FILE: the end of this log is printed when the stage fails.
shown_on_failure() {
    logs+=("$1")
}

clean_up() {
    local status=$1 pid log
    # A second signal must not stop the cleaning.
    trap '' INT HUP TERM
    for pid in "${pids[@]}"; do
        kill -INT "$pid" 2>/dev/null || true
    done
    for pid in "${pids[@]}"; do
        for _ in {1..100}; do
            kill -0 "$pid" 2>/dev/null || break
            sleep 0.1
        done
        kill -KILL "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    if ((status != 0)); then
        for log in "${logs[@]}"; do
            echo "--- the end of $(basename "$log")"
            tail -n 40 "$log" || true
        done >&2
    fi
    rm -rf "$temp"
    exit "$status"
}

# wait_until SECONDS COMMAND...: runs the command until it succeeds; fails when it has not in time.
wait_until() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        ((SECONDS < deadline)) || return 1
        sleep 0.1
    done
}

# blocks PAGE LANGUAGE: writes the fenced blocks of the language to `$temp/LANGUAGE.1` and so on.
blocks() {
    awk -v language="$2" -v prefix="$temp/$2." '
        /^```/ && inside { inside = 0; file = ""; next }
        /^```/ { inside = 1; split(substr($0, 4), words, ","); if (words[1] == language) file = prefix (++n); next }
        file != "" { print > file }' "$1"
    [[ -f $temp/$2.1 ]] || fail "$1 shows nothing in the language $2."
}

# A random secret that is worth nothing after the stage.
throw_away_key() {
    od -An -N20 -tx1 /dev/urandom | tr -d ' \n'
}

# The folder that cargo builds in.
target_dir() {
    cargo metadata --no-deps --format-version 1 |
        python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])'
}

# start_server: builds Parlor, with the options of `cargo_options`, and starts it on a free port with an empty SQLite
# database. Sets `server_url` and `server_key`, whose tenant is `default`, and for commands beside the server `parlor` and
# `database_url`.
start_server() {
    step "build Parlor${cargo_options[*]:+ (${cargo_options[*]})}"
    cargo build -p parlor-server "${cargo_options[@]}"

    parlor=$(target_dir)/debug/parlor
    database_url=sqlite://$temp/parlor.db
    server_key=$(throw_away_key)
    shown_on_failure "$temp/parlor.log"
    # It is read before the server's own process has opened it, now and then.
    : >"$temp/parlor.out"
    PARLOR_BOOTSTRAP_API_KEY=$server_key "$parlor" --listen 127.0.0.1:0 --log info --log-format text \
        --database-url "$database_url" >"$temp/parlor.out" 2>"$temp/parlor.log" &
    server_pid=$!
    ends_with_stage "$server_pid"
    wait_until 30 server_has_decided || fail "Parlor was not ready within 30 seconds."
    server_runs || fail "Parlor ended before it was ready."
    echo "Parlor listens on $server_url"
}

server_runs() {
    kill -0 "$server_pid" 2>/dev/null
}

# Ready, or ended: either way there is nothing left to wait for.
server_has_decided() {
    server_runs || return 0
    server_url=$(sed -n 's/^Parlor listens on //p' "$temp/parlor.out")
    [[ -n $server_url ]] && curl --silent --fail --max-time 2 --output /dev/null "$server_url/readyz"
}
