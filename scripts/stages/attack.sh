#!/usr/bin/env bash
# Attacks on a running server, and faults of its database: others are served meanwhile, and nothing acknowledged is lost.

source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
source scripts/tools.sh
source scripts/postgres.sh

usage() {
    cat <<'USAGE'
Usage: scripts/stages/attack.sh [--publish] [--without-postgres] [--parlor BINARY] [--only TEXT]

Attacks a server, then injects faults of SQLite and PostgreSQL, and prints a table of each. Fails when a client that
has nothing to do with an attack is not served, memory exceeds its bound, or an acknowledged change is lost; times are
only reported. About five minutes with a debug build.

  --publish             measure a release build, for about forty minutes, and put the tables into docs/OPERATIONS.md
  --without-postgres    leave out the faults of PostgreSQL
  --parlor BINARY       try this binary of Parlor instead of building one
  --only TEXT           only attacks and faults whose name contains this

Some faults of SQLite need root (a small disk that is filled, files made unwritable); without it they are skipped with a
note. Databases are made in the folder for temporary files.
USAGE
}

publish=
postgres=yes
parlor=
only=()
while (($# > 0)); do
    case $1 in
        -h | --help)
            usage
            exit
            ;;
        --publish) publish=yes ;;
        --without-postgres) postgres= ;;
        --parlor)
            [[ -x ${2:-} ]] || fail "--parlor wants a binary."
            parlor=$(realpath "$2")
            shift
            ;;
        --only)
            [[ -n ${2:-} ]] || fail "--only wants a part of a name."
            only=(--only "$2")
            shift
            ;;
        *) fail "'$1' is unknown; see --help." ;;
    esac
    shift
done

# Each connection takes a descriptor of the attacker, and one of the server.
ulimit -n "$(ulimit -Hn)"
need_python

profile=debug
build=(--locked -p parlor-bench)
attack=(--quick --seconds 2 --connections 2000 --probe-millis 50)
faults=(--seconds 3)
if [[ -n $publish ]]; then
    [[ ${#only[@]} == 0 && -n $postgres ]] || fail "What is published is all of it."
    profile=release
    build+=(--release)
    attack=(--seconds 8 --into docs/OPERATIONS.md)
    faults=(--seconds 10 --into docs/OPERATIONS.md)
fi
folder=$(target_dir)/$profile
if [[ -z $parlor ]]; then
    build+=(-p parlor-server)
    parlor=$folder/parlor
fi
step "cargo build ${build[*]}"
cargo build "${build[@]}"

options=(--parlor "$parlor" --data "$temp" --log "$temp/servers.log" "${only[@]}")
if revision=$(git describe --always --dirty 2>/dev/null); then options+=(--revision "$revision"); fi
shown_on_failure "$temp/servers.log"
if [[ -n $postgres ]]; then
    start_postgres
    faults+=(--postgres "$postgres_url" --psql "$postgres_bin/psql" --postgres-pid "$postgres_pid")
fi

# In the background, so that a signal to this script reaches it at once. Both run, so that one failure hides no other.
status=0
run() {
    step "parlor-bench $1"
    "$folder/parlor-bench" "$@" "${options[@]}" &
    ends_with_stage $!
    wait $! || status=1
}
run attack "${attack[@]}"
run faults "${faults[@]}"
((status == 0)) || fail "Not all is as it should be; see the failures above."
