#!/usr/bin/env bash
# Attacks on a running server, and faults of its database: others are served meanwhile, and nothing acknowledged is lost.

source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
source scripts/tools.sh
source scripts/postgres.sh

usage() {
    cat <<'USAGE'
Usage: scripts/stages/attack.sh [attack|faults] [--publish] [--without-postgres] [--parlor BINARY] [--only TEXT]

Attacks a server (attack), then injects faults of SQLite and PostgreSQL (faults), and prints a table of each. Fails when a client that
has nothing to do with an attack is not served, memory exceeds its bound, or an acknowledged change is lost; times are
only reported. About five minutes with a debug build.

  --publish             measure a release build, for about half an hour, and put the tables into docs/OPERATIONS.md
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
parts=()
while (($# > 0)); do
    case $1 in
        -h | --help)
            usage
            exit
            ;;
        attack | faults) parts+=("$1") ;;
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

if ((${#parts[@]} == 0)); then parts=(attack faults); fi

# Each connection takes a descriptor of the attacker, and one of the server.
ulimit -n "$(ulimit -Hn)"
need_python

profile=debug
build=(--locked)
# `attack` and `faults` are read through `of_part`.
# shellcheck disable=SC2034
attack=(--quick --seconds 2 --connections 800 --probe-millis 50)
faults=(--seconds 3)
if [[ -n $publish ]]; then
    [[ ${#only[@]} == 0 && -n $postgres ]] || fail "A table is published as a whole."
    profile=release
    build+=(--release)
    # shellcheck disable=SC2034
    attack=(--seconds 4 --into docs/OPERATIONS.md)
    faults=(--seconds 10 --into docs/OPERATIONS.md)
fi
folder=$(target_dir)/$profile
# One after the other: together they would be built with other features than in the other stages.
packages=(parlor-bench)
if [[ -z $parlor ]]; then
    packages+=(parlor-server)
    parlor=$folder/parlor
fi
for package in "${packages[@]}"; do
    step "cargo build ${build[*]} -p $package"
    cargo build "${build[@]}" -p "$package"
done

options=(--parlor "$parlor" --data "$temp" --log "$temp/servers.log" "${only[@]}")
if revision=$(git describe --always --dirty 2>/dev/null); then options+=(--revision "$revision"); fi
shown_on_failure "$temp/servers.log"
if [[ -n $postgres && " ${parts[*]} " == *" faults "* ]]; then
    start_postgres
    faults+=(--postgres "$postgres_url" --psql "$postgres_bin/psql" --postgres-pid "$postgres_pid")
fi

# In the background, so that a signal to this script reaches it at once. Both run, so that one failure hides no other.
status=0
for part in "${parts[@]}"; do
    step "parlor-bench $part"
    declare -n of_part=$part
    "$folder/parlor-bench" "$part" "${of_part[@]}" "${options[@]}" &
    ends_with_stage $!
    wait $! || status=1
done
((status == 0)) || fail "Not all is as it should be; see the failures above."
