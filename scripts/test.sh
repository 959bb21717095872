#!/usr/bin/env bash
# Runs the tests: all stages, or the named ones.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# In this order; what each does is the second line of its file.
stages=(tools lint rust postgres attack spec websocket clients examples docs browser instructions)
# No stage takes half of this on two cores, a first build included; it is for what would never end.
minutes_at_most=30

usage() {
    local stage
    echo "Usage: scripts/test.sh [STAGE...]"
    echo
    echo "Runs the named stages, or all of them in this order:"
    echo
    for stage in "${stages[@]}"; do
        printf '  %-14s%s\n' "$stage" "$(sed -n '2s/^# //p' "scripts/stages/$stage.sh")"
    done
    echo
    echo "Needs Rust, and for all stages but 'rust' also Python 3 and Node.js. Each stage installs what else it needs:"
    echo "into .tools, and as root with apt-get. A failed stage does not keep the others from running."
}

named=()
for argument in "$@"; do
    case $argument in
        -h | --help)
            usage
            exit
            ;;
        *)
            [[ " ${stages[*]} " == *" $argument "* ]] || {
                echo "error: there is no stage '$argument'; there are: ${stages[*]}" >&2
                exit 2
            }
            named+=("$argument")
            ;;
    esac
done
if ((${#named[@]} == 0)); then named=("${stages[@]}"); fi

# `timeout` makes each stage a process group of its own, so a Ctrl-C reaches only this script, which passes it on.
running=
interrupted() {
    trap '' INT TERM HUP
    if [[ -n $running ]]; then
        kill -TERM "$running" 2>/dev/null || true
        wait "$running" || true
    fi
    echo "interrupted" >&2
    exit 130
}
trap interrupted INT TERM HUP

results=()
failures=0
for stage in "${named[@]}"; do
    printf '\n=== %s: %s\n\n' "$stage" "$(sed -n '2s/^# //p' "scripts/stages/$stage.sh")"
    started=$SECONDS
    timeout --kill-after=60s "${minutes_at_most}m" bash "scripts/stages/$stage.sh" </dev/null &
    running=$!
    status=0
    wait "$running" || status=$?
    running=
    case $status in
        0) result=passed ;;
        124 | 137) result="FAILED: not finished after $minutes_at_most minutes" ;;
        *) result="FAILED with exit status $status" ;;
    esac
    if ((status != 0)); then failures=$((failures + 1)); fi
    line=$(printf '%-14s %5d s  %s' "$stage" $((SECONDS - started)) "$result")
    results+=("$line")
    printf '\n=== %s\n' "$line"
done

printf '\n=== Summary\n\n'
printf '  %s\n' "${results[@]}"
printf '  %-14s %5d s  %d of %d stages passed\n\n' total "$SECONDS" $((${#named[@]} - failures)) "${#named[@]}"
((failures == 0))
