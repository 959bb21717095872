#!/usr/bin/env bash
# Measures Parlor beside servers made by hand, on this machine: builds all of them, and sets up what they need.

source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
source scripts/tools.sh
source scripts/postgres.sh

usage() {
    cat <<'USAGE'
Usage: scripts/bench.sh [--publish] [--without-peers] [SUITE...] [OPTION...]

Measures the named suites, or all but growth, and prints a report: figures, goals, and whether they are met. The
results are in target/bench/results.json, the plot beside them. A suite that is run again takes the place of its earlier
results. About 25 minutes on two cores, a first build not included.

  compare   creating, sending and reading, beside axum + sqlx and FastAPI, on SQLite and PostgreSQL
  live      live connections: idle memory, fan-out
  sdk       the SDK beside its HTTP client alone
  pages     pages at depth, the SDK's memory while it reads them
  sizes     debug builds, the binary, start, idle memory
  growth    memory and cost with ten million chats; only when it is named: twenty minutes, and 12 GB of disk
  all       all of these

  --quick             try it: two minutes, and figures to match
  --publish           afterwards, make the results those of docs/PERFORMANCE.md
  --without-peers     measure Parlor alone, without Python and PostgreSQL
  --parlor BINARY, --axum BINARY
                      measure this binary of Parlor, or of the peer, instead of building one
  --cores LIST        cores of every server, as `taskset` has them; --load-cores LIST: those of the load
  --rounds N, --seconds N, --chats N and more: see parlor-bench run --help

Databases are made in the folder for temporary files: let TMPDIR be on the disk that is to be measured. Needs Rust,
Python 3.11 and PostgreSQL; the last two are installed if apt-get can.
USAGE
}

publish=
peers=yes
parlor=
axum=
arguments=()
while (($# > 0)); do
    case $1 in
        -h | --help)
            usage
            exit
            ;;
        --publish) publish=yes ;;
        --without-peers) peers= ;;
        --parlor | --axum)
            [[ -x ${2:-} ]] || fail "$1 wants a binary."
            # To `parlor` or `axum`.
            printf -v "${1#--}" %s "$(realpath "$2")"
            shift
            ;;
        *) arguments+=("$1") ;;
    esac
    shift
done

# Each live connection takes a descriptor of the load, and one of the server.
ulimit -n "$(ulimit -Hn)"

target_dir=$(cargo metadata --no-deps --format-version 1 |
    sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
results=$target_dir/bench/results.json
packages=(-p parlor-bench)
if [[ -z $parlor ]]; then
    packages+=(-p parlor-server)
    parlor=$target_dir/release/parlor
fi
options=(--parlor "$parlor" --results "$results" --data "$temp")
if revision=$(git describe --always --dirty 2>/dev/null); then options+=(--revision "$revision"); fi
if [[ -n $peers ]]; then
    if [[ -z $axum ]]; then
        packages+=(-p parlor-bench-axum)
        axum=$target_dir/release/parlor-bench-axum
    fi
    options+=(--axum "$axum")
    need_venv bench-python bench/peers/fastapi/requirements.txt
    options+=(--python "$tools/bench-python/bin/python" --fastapi "$PWD/bench/peers/fastapi/main.py")
fi
step "cargo build --release ${packages[*]}"
cargo build --release --locked "${packages[@]}"
if [[ -n $peers ]]; then
    start_postgres
    options+=(--postgres "$postgres_url" --psql "$postgres_bin/psql")
fi

# In the background, so that a signal to this script reaches it at once.
"$target_dir/release/parlor-bench" run "${options[@]}" "${arguments[@]}" &
ends_with_stage $!
wait $!

if [[ -n $publish ]]; then
    cp "$results" docs/performance.json
    "$target_dir/release/parlor-bench" report docs/performance.json --plot docs/performance.svg --into docs/PERFORMANCE.md
fi
