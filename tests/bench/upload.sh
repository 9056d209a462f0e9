#!/usr/bin/env bash
# Measures uploads to uHTTP against a bare select() and recv() loop with the same buffer of 64 KiB.
#
#   tests/bench/upload.sh [--rounds N] [--mib N]
#
#   --rounds N   rounds of all scenarios and servers, interleaved; medians are compared (5)
#   --mib N      the size of an upload (1024)
#
# The server runs on core 0, the client on core 1: one of our own for bodies with a length, curl for
# chunked ones. CPU is what the server says it used, user and system. Ends with 1 if a target is
# missed. CC and CFLAGS are honoured; everything is built in a temporary directory.
set -eu
export LC_ALL=C
unset http_proxy HTTP_PROXY all_proxy ALL_PROXY

here=$(cd "$(dirname "$0")" && pwd)
rounds=5 mib=1024

fail() {
    echo "upload: $*" >&2
    exit 1
}

while [ $# -gt 0 ]; do
    case $1 in
    --rounds) rounds=${2:?} && shift ;;
    --mib) mib=${2:?} && shift ;;
    *) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0" && exit 2 ;;
    esac
    shift
done

command -v curl >/dev/null || fail "curl is missing"
taskset -c 1 true 2>/dev/null || fail "needs cores 0 and 1"
bytes=$((mib * 1048576))
tmp=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill -KILL "$server" 2>/dev/null || true; rm -rf "$tmp"' EXIT
trap 'exit 130' INT TERM

for program in upload form; do
    # shellcheck disable=SC2086
    "${CC:-cc}" -std=c99 -O2 -Wall -Wextra ${CFLAGS:-} -I"$here/../.." -o "$tmp/$program" \
        "$here/$program.c" || fail "cannot build $program.c"
done

# said WORD: the number behind that word in what the server printed
said() {
    awk -v w="$1" '{ for (i = 1; i < NF; i++) if ($i == w) v = $(i + 1) } END { print v }' "$tmp/out"
}

# measure SCENARIO SERVER: adds a line to the samples: both names, CPU in ms, allocations, peak
measure() {
    : >"$tmp/out"
    taskset -c 0 "$tmp/upload" "$2" >"$tmp/out" 2>"$tmp/err" &
    server=$!
    for _ in $(seq 200); do
        port=$(said port)
        [ -z "$port" ] || break
        sleep 0.05
    done
    [ -n "$port" ] || fail "the server does not start: $(cat "$tmp/err")"
    if [ "$1" = length ]; then
        taskset -c 1 "$tmp/upload" send "$port" "$bytes" || fail "$2 took no upload"
    else
        head -c "$bytes" /dev/zero | taskset -c 1 curl -q -sS -f -T - -H 'Expect:' \
            -H 'Transfer-Encoding: chunked' "http://127.0.0.1:$port/" || fail "$2 took no upload"
    fi
    wait "$server" || fail "the server ended badly: $(cat "$tmp/err")"
    server=
    [ "$(said bytes)" -ge "$bytes" ] || fail "$2 got $(said bytes) bytes"
    echo "$1 $2 $(said cpu_us) $(said allocations) $(said peak)" >>"$tmp/samples"
}

# median SCENARIO SERVER COLUMN
median() {
    awk -v s="$1" -v n="$2" -v c="$3" '$1 == s && $2 == n { print $c }' "$tmp/samples" | sort -n |
        awk '{ v[NR] = $1 } END { print (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2 }'
}

missed=0

# judge NAME VALUE LIMIT UNIT
judge() {
    verdict=ok
    awk -v v="$2" -v l="$3" 'BEGIN { exit !(v <= l) }' || verdict=MISSED missed=1
    printf '%-52s %10s  target %8s %s\n' "$1" "$2" "$3" $verdict
}

order="bare uhttp fixed"
for _ in $(seq "$rounds"); do
    for scenario in length chunked; do
        for name in $order; do measure $scenario "$name"; done
    done
    order="${order#* } ${order%% *}"        # nobody is always the first
done

echo "uploads of $mib MiB, medians of $rounds rounds"
for scenario in length chunked; do
    limit=1.10
    [ $scenario = length ] || limit=1.25
    bare=$(median $scenario bare 3)
    for name in uhttp fixed; do
        cpu=$(median $scenario $name 3)
        judge "$scenario, $name: CPU to the bare loop ($((${cpu%.*} / 1000)) / $((${bare%.*} / 1000)) ms)" \
            "$(awk -v a="$cpu" -v b="$bare" 'BEGIN { printf "%.3f", a / b }')" $limit
    done
    judge "$scenario, uhttp: most heap, bytes" "$(median $scenario uhttp 5)" 262143
    judge "$scenario, fixed: allocations" "$(median $scenario fixed 4)" 0
done
taskset -c 0 "$tmp/form" || missed=1
exit $missed
