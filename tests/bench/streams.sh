#!/usr/bin/env bash
# Measures long and large responses: 1 MiB from memory against a bare send loop, 1000 listeners of
# Server-Sent Events, and a stream to 500 readers of very different speed.
#
#   tests/bench/streams.sh [--rounds N] [--seconds N]
#
#   --rounds N    rounds of both servers, interleaved; medians are compared (7)
#   --seconds N   how long listeners and readers are served (5)
#
# The server runs on core 0, the client of the first on core 1. CPU is what the server says it used,
# user and system. Ends with 1 if a target is missed. CC and CFLAGS are honoured; everything is built
# in a temporary directory.
set -eu
export LC_ALL=C

here=$(cd "$(dirname "$0")" && pwd)
rounds=7 seconds=5 answers=2048

fail() {
    echo "streams: $*" >&2
    exit 1
}

while [ $# -gt 0 ]; do
    case $1 in
    --rounds) rounds=${2:?} && shift ;;
    --seconds) seconds=${2:?} && shift ;;
    *) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0" && exit 2 ;;
    esac
    shift
done

taskset -c 1 true 2>/dev/null || fail "needs cores 0 and 1"
tmp=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill -KILL "$server" 2>/dev/null || true; rm -rf "$tmp"' EXIT
trap 'exit 130' INT TERM

# shellcheck disable=SC2086
"${CC:-cc}" -std=c99 -O2 -Wall -Wextra ${CFLAGS:-} -I"$here/../.." -o "$tmp/streams" \
    "$here/streams.c" || fail "cannot build streams.c"

# said WORD: the number behind that word in what the server printed
said() {
    awk -v w="$1" '{ for (i = 1; i < NF; i++) if ($i == w) v = $(i + 1) } END { print v }' "$tmp/out"
}

# measure SERVER: adds a line to the samples: its name, CPU in us
measure() {
    : >"$tmp/out"
    taskset -c 0 "$tmp/streams" "$1" >"$tmp/out" 2>"$tmp/err" &
    server=$!
    for _ in $(seq 200); do
        port=$(said port)
        [ -z "$port" ] || break
        sleep 0.05
    done
    [ -n "$port" ] || fail "the server does not start: $(cat "$tmp/err")"
    taskset -c 1 "$tmp/streams" get "$port" $answers || fail "$1 did not answer"
    wait "$server" || fail "the server ended badly: $(cat "$tmp/err")"
    server=
    echo "$1 $(said cpu_us)" >>"$tmp/samples"
}

# median SERVER
median() {
    awk -v n="$1" '$1 == n { print $2 }' "$tmp/samples" | sort -n |
        awk '{ v[NR] = $1 } END { print (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2 }'
}

missed=0
order="bare uhttp"
for _ in $(seq "$rounds"); do
    for name in $order; do measure "$name"; done
    order="${order#* } ${order%% *}"        # nobody is always the first
done
awk -v a="$(median uhttp)" -v b="$(median bare)" -v gib=$((answers / 1024)) 'BEGIN {
    printf "1 MiB from memory: %.0f ms of CPU a GiB, the bare loop %.0f: %.3f  target 1.1 %s\n",
        a / gib / 1000, b / gib / 1000, a / b, a / b <= 1.1 ? "ok" : "MISSED"
    exit a / b > 1.1
}' || missed=1
taskset -c 0 "$tmp/streams" listeners 1000 "$seconds" || missed=1
"$tmp/streams" readers 500 "$seconds" || missed=1
exit $missed
