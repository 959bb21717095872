#!/usr/bin/env bash
# The instructions that each hot path takes, counted by Valgrind, are within 5 % of those that are written down.

# A count depends neither on the machine's load nor on its speed, so a small loss shows, and on the day it comes in. What
# one thread does alone is counted the same each time, whole requests, of which two threads do a part each, within 1 %.
# It does depend on the compiler, on the C library, and a little on the processor: Valgrind shows every program the same
# one with AVX2, or one without where there is none, on which SQLite's strings make a request longer by 7 %.
#
# Not by gungraun, which counts alike: what it compares with is beside the build and not in the repository, and a runner
# of its own version would have to be built first.

source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
source scripts/tools.sh

baseline=server/benches/instructions.txt
tolerance=5
# How long malloc looks for memory depends on what lies where, and so on the random seeds of hash maps. With room in its
# first cache for all that is freed, it finds everything there.
malloc=glibc.malloc.tcache_count=2000:glibc.malloc.tcache_max=1048576
accept="bash scripts/stages/instructions.sh --accept"

# What a count depends on beside the code.
counted_with() {
    local avx2="without AVX2"
    if grep -qw avx2 /proc/cpuinfo; then avx2="with AVX2"; fi
    echo "$(rustc --version), $(getconf GNU_LIBC_VERSION), $(valgrind --version), $(uname -m) $avx2"
}

# count PATH: the instructions of one run of it, by all threads. The first part of what callgrind writes is what came
# before the first mark, the second what came between the marks.
count() {
    local runs
    runs=$(TMPDIR=$temp GLIBC_TUNABLES=$malloc taskset -c "$processor" valgrind --tool=callgrind \
        --callgrind-out-file="$temp/$1.counts" --dump-before='instructions::mark*' "$program" "$1" \
        2>"$temp/valgrind.log") || {
        cat "$temp/valgrind.log" >&2
        fail "The path $1 cannot be counted; its last words are above."
    }
    [[ -f $temp/$1.counts.2 && ! -f $temp/$1.counts.3 ]] || fail "Valgrind has not found the two marks around $1."
    echo $(($(sed -n 's/^summary: //p' "$temp/$1.counts.2") / runs))
}

case $* in
    '' | --accept) ;;
    *) fail "The one argument is --accept: write down what is counted." ;;
esac

written_with=$(sed -n 's/^# Counted with: //p' "$baseline")
if [[ $* != --accept && $written_with != *" $(uname -m) "* ]]; then
    echo "NOT COMPARED: this machine is a $(uname -m), whose instructions are others than the written ones."
    exit
fi

need_python
need_valgrind
step "build the hot paths"
cargo build --profile instructions -p parlor-server --features bench-internals --bin instructions
program=$(target_dir)/instructions/instructions

# Which of two threads waits for the other must not depend on what else the machine does, so both are on this processor.
processor=$(taskset -cp $$ | sed 's/.*: \([0-9]*\).*/\1/')

step "count"
# Not in one pipe with the loop: a failure would be lost.
paths=$("$program")
for path in $paths; do
    counted=$(count "$path")
    echo "$path $counted" >>"$temp/counted"
done

if [[ $* == --accept ]]; then
    {
        echo "# Instructions of one run of each hot path, benches/paths/; compared by: scripts/test.sh instructions"
        echo "# Written by: $accept"
        echo "# Counted with: $(counted_with)"
        cat "$temp/counted"
    } >"$temp/baseline"
fi

[[ $written_with == "$(counted_with)" ]] || {
    echo "NOTE: other tools than those the numbers were written with; a difference may be theirs."
    echo "  written: $written_with"
    echo "  now:     $(counted_with)"
}
status=0
awk -v tolerance="$tolerance" '
    /^#/ { next }
    FILENAME == ARGV[1] { written[$1] = $2; next }
    FNR == 1 { printf "%-22s %10s %10s %10s\n", "path", "written", "now", "change" }
    !($1 in written) { printf "%-22s %10s %10d  NEW\n", $1, "-", $2; differs = 1; next }
    {
        change = ($2 / written[$1] - 1) * 100
        is_far = change > tolerance || change < -tolerance
        printf "%-22s %10d %10d %+8.1f %%%s\n", $1, written[$1], $2, change, is_far ? "  DIFFERS" : ""
        if (is_far) differs = 1
        delete written[$1]
    }
    END {
        for (path in written) { printf "%-22s %10d %10s  GONE\n", path, written[path], "-"; differs = 1 }
        exit differs
    }' "$baseline" "$temp/counted" || status=$?

if [[ $* == --accept ]]; then
    cp "$temp/baseline" "$baseline"
    echo "Written to $baseline."
elif ((status != 0)); then
    fail "These are not the instructions of $baseline, within $tolerance %. If they are meant, losses and gains: $accept"
fi
