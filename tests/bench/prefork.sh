#!/usr/bin/env bash
# Measures examples/prefork.c: what more processes on one port bring.
#
#   tests/bench/prefork.sh [--rounds N] [--seconds N] [--processes "1 2 ..."]
#
# The clients run on the last half of the cores, the workers on the others, N of them for each N given
# (1 to the number of those cores): 64 kept-alive connections, and then a connection for each request. Rounds
# are interleaved; the table has medians, and how a figure compares to that of one process.
set -eu
export LC_ALL=C

here=$(cd "$(dirname "$0")" && pwd)
rounds=5 seconds=2 processes=""

fail() {
    echo "prefork: $*" >&2
    exit 1
}

while [ $# -gt 0 ]; do
    case $1 in
    --rounds) rounds=${2:?} && shift ;;
    --seconds) seconds=${2:?} && shift ;;
    --processes) processes=${2:?} && shift ;;
    *) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0" && exit 2 ;;
    esac
    shift
done

command -v wrk >/dev/null || fail "wrk is missing; Debian package: wrk"
cores=$(nproc)
[ "$cores" -ge 2 ] || fail "needs two cores"
half=$((cores / 2))
[ -n "$processes" ] || processes=$(seq "$half")
tmp=$(mktemp -d)
master=
trap '[ -z "$master" ] || kill "$master" 2>/dev/null || true; rm -rf "$tmp"' EXIT
trap 'exit 130' INT TERM
# shellcheck disable=SC2086
"${CC:-cc}" -O2 ${CFLAGS:-} -o "$tmp/prefork" "$here/../../examples/prefork.c" || fail "prefork.c does not build"

# measure PROCESSES NAME [wrk's option...]: adds a line to the samples
measure() {
    local count=$1 name=$2 url rate
    shift 2
    : >"$tmp/out"
    taskset -c "0-$((half - 1))" "$tmp/prefork" 0 "$count" >"$tmp/out" 2>"$tmp/err" &
    master=$!
    for _ in $(seq 200); do
        url=$(sed -n 's/^listening on \([^ ]*\) .*/\1/p' "$tmp/out")
        [ -z "$url" ] || break
        sleep 0.05
    done
    [ -n "$url" ] || fail "it does not start: $(cat "$tmp/err")"
    taskset -c "$half-$((cores - 1))" wrk -t"$half" -c$((64 / half * half)) -d"${seconds}s" "$@" "$url" \
        >"$tmp/wrk" 2>&1
    ! grep -q -e '^  Socket errors' -e '^  Non-2xx' "$tmp/wrk" || fail "errors: $(cat "$tmp/wrk")"
    rate=$(sed -n 's/^Requests\/sec: *//p' "$tmp/wrk")
    kill "$master"
    wait "$master" || fail "it ended badly: $(cat "$tmp/err")"
    master=
    echo "$name $count $rate" >>"$tmp/samples"
}

for _ in $(seq "$rounds"); do
    for count in $processes; do
        measure "$count" kept
        measure "$count" close -H 'Connection: close'
    done
done

# median NAME PROCESSES
median() {
    awk -v n="$1" -v c="$2" '$1 == n && $2 == c { print $3 }' "$tmp/samples" | sort -n |
        awk '{ v[NR] = $1 } END { print (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2 }'
}

echo "requests a second, medians of $rounds rounds of $seconds s, clients on $half of $cores cores"
printf '%10s %12s %8s %26s %8s\n' processes "kept alive" "" "a connection per request" ""
first=${processes%%[!0-9]*}
for count in $processes; do
    kept=$(median kept "$count") close=$(median close "$count")
    printf '%10s %12.0f %7.2fx %26.0f %7.2fx\n' "$count" "$kept" \
        "$(awk -v a="$kept" -v b="$(median kept "$first")" 'BEGIN { print a / b }')" "$close" \
        "$(awk -v a="$close" -v b="$(median close "$first")" 'BEGIN { print a / b }')"
done
