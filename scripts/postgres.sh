# A PostgreSQL server that is thrown away. Sourced after lib.sh and tools.sh.
# shellcheck shell=bash

# start_postgres: a server with an empty cluster on a free port of 127.0.0.1, as safe as in production (fsync stays on).
# Sets `postgres_url`, a database from which others can be created.
start_postgres() {
    local user=() password port attempt
    need_postgresql
    need_python
    # PostgreSQL refuses to run as root.
    if [[ $(id -u) == 0 ]]; then
        local name=nobody
        if id postgres &>/dev/null; then name=postgres; fi
        user=(setpriv --reuid "$name" --regid "$(id -g "$name")" --clear-groups)
        # That user must get through to its folder, and no other user into it.
        chmod 711 "$temp"
        install -d -m 700 -o "$name" "$temp/cluster"
        install -m 600 -o "$name" /dev/null "$temp/password"
    fi

    step "start PostgreSQL ($("$postgres_bin/postgres" --version))"
    password=$(throw_away_key)
    echo "$password" >"$temp/password"
    "${user[@]}" "$postgres_bin/initdb" --pgdata "$temp/cluster" --username postgres --auth scram-sha-256 \
        --pwfile "$temp/password" --encoding UTF8 --locale C.UTF-8 >"$temp/initdb.log" 2>&1 || {
        cat "$temp/initdb.log" >&2
        fail "initdb failed; its words are above."
    }
    shown_on_failure "$temp/postgres.log"
    # Another process may take the port between the choice and the start.
    for attempt in {1..5}; do
        port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
        "${user[@]}" "$postgres_bin/postgres" -D "$temp/cluster" -p "$port" -c listen_addresses=127.0.0.1 \
            -c unix_socket_directories= -c max_connections=500 -c log_checkpoints=off >"$temp/postgres.log" 2>&1 &
        postgres_pid=$!
        ends_with_stage "$postgres_pid"
        wait_until 30 postgres_has_decided || fail "PostgreSQL was not ready within 30 seconds."
        if kill -0 "$postgres_pid" 2>/dev/null; then
            # shellcheck disable=SC2034 # Who sources this uses it.
            postgres_url=postgres://postgres:$password@127.0.0.1:$port/postgres
            return
        fi
    done
    fail "PostgreSQL did not start in $attempt attempts."
}

# Ready, or ended: either way there is nothing left to wait for.
postgres_has_decided() {
    kill -0 "$postgres_pid" 2>/dev/null || return 0
    grep -q 'database system is ready to accept connections' "$temp/postgres.log"
}
