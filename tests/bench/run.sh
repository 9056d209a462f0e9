#!/usr/bin/env bash
# Measures the core of uHTTP against a bare epoll and a bare select loop with a canned answer.
# peers.py beside it measures nginx, h2o, libmicrohttpd and others in one table with it.
#
#   tests/bench/run.sh [--quick] [--rounds N] [--seconds N] [--only NAME[,NAME...]] [--check]
#
#   --quick      a smoke test: one round of one second, shorter counts
#   --rounds N   rounds of all scenarios and servers, interleaved; the table has medians (5)
#   --seconds N  how long each scenario lasts in each round (2)
#   --only       hello browser close pipeline (timed), json (timed against cJSON and Jansson), idle (900,
#                5 000 and 20 000 idle connections beside 8 active ones), wait (what one
#                uhttp_wait(server, 0) and a newcomer cost beside 20 000, or as many as there may be
#                descriptors for), websocket (echo, unmasking, broadcast),
#                instructions calls allocations memory (counted)
#   IDLE         in the environment: other numbers of idle connections, as "900 5000"
#   --check      fail also when a target is missed, not only when a run is invalid
#
# Servers run on core 0 and wrk on core 1. CPU is what the server says it used, user and system,
# divided by wrk's number of answers; in the pipeline wrk counts each of the 16. A socket error,
# a timeout or a status of 400 and up makes the run invalid and fails the script. Times compare
# only within one run of the script, and mean something on a quiet machine. CC and CFLAGS are
# honoured. Everything is built in a temporary directory and nothing is left behind.
set -eu
export LC_ALL=C

here=$(cd "$(dirname "$0")" && pwd)
servers="bare_epoll bare_select uhttp_hello"
timed="hello browser close pipeline"
counted="instructions calls allocations memory"
idle_counts=${IDLE:-900 5000 20000}
rounds=5 seconds=2 few=1000 many=3000 check=no only="$timed json idle wait websocket $counted"

fail() {
    echo "bench: $*" >&2
    exit 1
}

while [ $# -gt 0 ]; do
    case $1 in
    --quick) rounds=1 seconds=1 few=200 many=600 ;;
    --rounds) rounds=${2:?} && shift ;;
    --seconds) seconds=${2:?} && shift ;;
    --only) only=${2:?} && only=${only//,/ } && shift ;;
    --check) check=yes ;;
    *) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0" && exit 2 ;;
    esac
    shift
done

wanted() { [[ " $only " == *" $1 "* ]]; }

for name in $only; do
    [[ " $timed json idle wait websocket $counted " == *" $name "* ]] ||
        fail "--only $name: is none of $timed json idle wait websocket $counted"
done

need() { command -v "$1" >/dev/null || fail "$1 is missing; Debian package: $2"; }
need "${CC:-cc}" gcc
need awk mawk
need taskset util-linux
taskset -c 0 true 2>/dev/null && taskset -c 1 true 2>/dev/null || fail "needs cores 0 and 1"
for name in $timed idle; do ! wanted $name || need wrk wrk; done
! wanted instructions || need valgrind valgrind
! wanted calls || need strace strace
[ -f "$here/../../uhttp_server.h" ] || fail "no uhttp_server.h in $(cd "$here/../.." && pwd)"

tmp=$(mktemp -d)
children="" holders="" server="" arguments="" node=""
trap 'kill -KILL $children $holders $server 2>/dev/null || true; rm -rf "$tmp"' EXIT
trap 'exit 130' INT TERM

# ---- programs and requests -------------------------------------------------------------------

# build PROGRAM SOURCE [option...]
build() {
    local program=$1 source=$2
    shift 2
    # shellcheck disable=SC2086
    "${CC:-cc}" -std=c99 -O2 -Wall -Wextra ${CFLAGS:-} -I"$here/../.." \
        -o "$tmp/$program" "$here/$source" "$@" || fail "cannot build $source"
}

for name in $servers client; do build $name $name.c; done
build uhttp_count uhttp_hello.c -DBENCH_COUNT

lines() { printf '%s\r\n' "$@" ''; }

lines 'GET / HTTP/1.1' 'Host: 192.168.178.20' >"$tmp/hello"
lines 'GET / HTTP/1.1' 'Host: 192.168.178.20' 'Connection: close' >"$tmp/close"
lines 'GET / HTTP/1.1' 'Host: 192.168.178.20' 'User-Agent: curl/8.5.0' 'Accept: */*' >"$tmp/plain"
for _ in $(seq 16); do cat "$tmp/hello"; done >"$tmp/pipeline"
sed 's/$/\r/' "$here/browser.txt" >"$tmp/browser"

# ---- servers and clients ---------------------------------------------------------------------

# start SERVER [wrapper...]: the server, with $arguments; sets port, server (its process) and child (the one to wait for)
start() {
    local program=$tmp/$1
    shift
    : >"$tmp/out"
    # shellcheck disable=SC2086
    taskset -c 0 "$@" "$program" $arguments >"$tmp/out" 2>"$tmp/err" &
    child=$!
    children="$children $child"
    for _ in $(seq 200); do
        ! read -r _ port _ server <"$tmp/out" || return 0
        kill -0 $child 2>/dev/null || break
        sleep 0.05
    done
    fail "the server does not start: $(cat "$tmp/err")"
}

# A signal that comes just before a bare loop goes to sleep is missed, so there are several.
stop() {
    kill -TERM "$server" 2>/dev/null || fail "the server has died: $(tail -n 3 "$tmp/err")"
    for _ in $(seq 200); do
        sleep 0.05
        kill -TERM "$server" 2>/dev/null || break
    done
    wait "$child" || fail "the server ended badly: $(tail -n 3 "$tmp/err")"
    children=${children% *}
}

# said WORD: the number behind that word in what the server printed last
said() {
    awk -v w="$1" '{ for (i = 1; i < NF; i++) if ($i == w) v = $(i + 1) } END { print v }' \
        "$tmp/out"
}

# client CONNECTIONS REQUESTS [KIND]: browser or plain requests, so many on each connection
client() {
    taskset -c 1 "$tmp/client" "$port" "$tmp/${3:-browser}" "$1" "$2" >"$tmp/client.out" ||
        fail "the client did not get its answers"
}

missed=0

# judge VALUE LIMIT: sets verdict, counts what is missed
judge() {
    verdict=ok
    awk -v v="$1" -v l="$2" 'BEGIN { exit !(v <= l) }' || verdict=MISSED missed=$((missed + 1))
}

lengths=""
for name in $servers; do
    start $name
    client 2 2
    stop
    lengths="$lengths$(cut -d' ' -f2 "$tmp/client.out")"$'\n'
done
[ "$(sort -u <<<"${lengths%$'\n'}" | wc -l)" = 1 ] ||
    fail "answers of different length, adapt bare.h:" $lengths

# ---- timed -----------------------------------------------------------------------------------

# load SCENARIO CONNECTIONS: asks the server that runs, with the request of that name
load() {
    taskset -c 1 wrk -t1 -c"$2" -d"${seconds}s" -s "$here/wrk.lua" "http://127.0.0.1:$port/" \
        -- "$tmp/$1" >"$tmp/wrk" 2>&1 || true
}

# sample SCENARIO SERVER CPU_US: adds a line to the samples: both names, requests per second, CPU
sample() {
    local scenario=$1 name=$2 cpu=$3 totals
    totals=$(grep '^totals ' "$tmp/wrk") || fail "wrk failed: $(cat "$tmp/wrk")"
    # shellcheck disable=SC2086
    set -- $totals
    [ "$2" -gt 0 ] && [ $(($5 + $7 + $9 + ${11} + ${13})) = 0 ] ||
        fail "invalid run, $name in scenario $scenario: $totals"
    awk -v s="$scenario" -v n="$name" -v requests="$2" -v us="$3" -v cpu="$cpu" \
        'BEGIN { print s, n, requests / us * 1e6, cpu / requests }' >>"$tmp/samples"
}

# measure SCENARIO SERVER: from the server's start to its end
measure() {
    start "$2"
    load "$1" 64
    stop
    sample "$1" "$2" "$(said cpu_us)"
}

# median SCENARIO SERVER COLUMN
median() {
    awk -v s="$1" -v n="$2" -v c="$3" '$1 == s && $2 == n { print $c }' "$tmp/samples" |
        sort -n |
        awk '{ v[NR] = $1 } END { print (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2 }'
}

ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", a / b }'; }

limit_of() {
    case $1 in
    browser) echo 1.25 ;;
    pipeline) echo 2.00 ;;
    *) echo 1.15 ;;
    esac
}

run_timed() {
    local round scenario name column order=$servers
    for round in $(seq "$rounds"); do
        [ ! -t 2 ] || echo "round $round of $rounds" >&2
        for scenario in "$@"; do
            for name in $order; do measure "$scenario" "$name"; done
        done
        order="${order#* } ${order%% *}"    # nobody is always the first
    done

    echo "64 connections, medians of $rounds rounds of $seconds s, CPU in us per request"
    echo "          --- requests per second ----   ---- server CPU -----   -- CPU, uHTTP to --"
    echo "            epoll    select     uhttp    epoll  select   uhttp   epoll select target"
    for scenario in "$@"; do
        set --
        for column in 3 4; do
            for name in $servers; do
                set -- "$@" "$(median "$scenario" "$name" $column)"
            done
        done
        set -- "$@" "$(ratio "$6" "$4")" "$(ratio "$6" "$5")" "$(limit_of "$scenario")"
        judge "$8" "$9"
        printf '%-8s %8.0f  %8.0f  %8.0f  %7.2f %7.2f %7.2f   %5s  %5s  %5s %s\n' \
            "$scenario" "$@" $verdict
    done
    echo
}

now=""
for name in $timed; do ! wanted $name || now="$now $name"; done
# shellcheck disable=SC2086
[ -z "$now" ] || run_timed $now

# ---- beside idle connections -----------------------------------------------------------------

# hold CONNECTIONS: that many are opened, answered once, and idle until let_go. A few at once: the
# backlog has an end, and a server gives each only seconds to ask.
hold() {
    local left=$1 now
    holders=""
    while [ "$left" -gt 0 ]; do
        now=$((left < 500 ? left : 500))
        left=$((left - now))
        : >"$tmp/client.out"
        "$tmp/client" "$port" "$tmp/browser" $now 1 hold >"$tmp/client.out" &
        holders="$holders $!"
        for _ in $(seq 400); do
            [ ! -s "$tmp/client.out" ] && kill -0 $! 2>/dev/null || break
            sleep 0.05
        done
        [ -s "$tmp/client.out" ] || fail "$1 connections were not all answered"
    done
}

let_go() {
    # shellcheck disable=SC2086
    kill $holders
    # shellcheck disable=SC2086
    wait $holders 2>/dev/null || true
    holders=""
}

# cpu_now: microseconds the server has used so far, to the hundredth of a second
cpu_now() {
    awk -v hz="$(getconf CLK_TCK)" '{ printf "%d", ($14 + $15) * 1e6 / hz }' "/proc/$server/stat"
}

run_idle() {
    local round idle name most cpu order="bare_epoll uhttp_hello"
    ulimit -n "$(ulimit -Hn)"
    most=$(($(ulimit -n) - 100))
    for round in $(seq "$rounds"); do
        for idle in $idle_counts; do
            for name in $order; do
                arguments=$((idle + 100))
                start "$name"
                hold $((idle < most ? idle : most))
                cpu=$(cpu_now)
                load hello 8
                cpu=$(($(cpu_now) - cpu))       # without what opening them has cost
                let_go
                stop
                sample "idle$idle" "$name" "$cpu"
            done
        done
        order="${order#* } ${order%% *}"
    done
    arguments=""

    echo "8 connections beside idle ones, medians of $rounds rounds of $seconds s, CPU in us per request"
    echo "                        epoll   uhttp   ratio  target"
    for idle in $idle_counts; do
        set -- "$(median idle$idle bare_epoll 4)" "$(median idle$idle uhttp_hello 4)"
        set -- "$@" "$(ratio "$2" "$1")" 1.10
        judge "$3" "$4"
        printf '%6d idle         %7.2f %7.2f   %5s   %5s %s\n' \
            $((idle < most ? idle : most)) "$@" $verdict
    done
    echo
}

! wanted idle || run_idle

if wanted wait; then
    build wait wait.c
    few_slots=$(taskset -c 0 "$tmp/wait" 100 | sed 's/.*newcomer_us //')
    set -- $(taskset -c 0 "$tmp/wait" 20000)
    judge "$4" 3
    echo "uhttp_wait(server, 0) beside $2 idle connections: $4 us, target 3 $verdict"
    ratio=$(awk -v many="$6" -v few="$few_slots" 'BEGIN { printf "%.2f", many / few }')
    judge "$ratio" 1.2
    echo "a newcomer that takes the place of the one idle longest: $few_slots us with 100 slots," \
        "$6 us with $2, ratio $ratio, target 1.2 $verdict"
    echo
fi

# ---- JSON: a program of its own, which judges itself ---------------------------------------------

if wanted json && echo '#include <cjson/cJSON.h>' | "${CC:-cc}" -E - >/dev/null 2>&1; then
    jansson=
    echo '#include <jansson.h>' | "${CC:-cc}" -E - >/dev/null 2>&1 && jansson="-DJANSSON -ljansson" ||
        echo "json: Jansson is left out; Debian package: libjansson-dev"
    # shellcheck disable=SC2086
    build json json.c -lcjson $jansson
    taskset -c 0 "$tmp/json" || missed=$((missed + 1))
    echo
elif wanted json; then
    echo "json: left out, cjson/cJSON.h is missing; Debian package: libcjson-dev"
fi

# ---- WebSocket: a program of its own, which judges itself, beside ws on node ----------------------

# node_ws: starts ws.js and prints its port; fails where there is no node, or ws is not to be had
node_ws() {
    command -v node >/dev/null && command -v npm >/dev/null || return
    npm install --silent --no-audit --no-fund --prefix "$tmp" ws@8 >"$tmp/npm" 2>&1 || return
    NODE_PATH=$tmp/node_modules taskset -c 0 node "$here/ws.js" >"$tmp/ws" &
    node=$!
    children="$children $node"
    for _ in $(seq 200); do
        [ ! -s "$tmp/ws" ] || return 0
        sleep 0.05
    done
    return 1
}

if wanted websocket; then
    build websocket websocket.c -D_GNU_SOURCE
    node_ws || { echo "websocket: not beside ws, which needs node and npm" && : >"$tmp/ws"; }
    # shellcheck disable=SC2046
    taskset -c 0 "$tmp/websocket" $(cat "$tmp/ws") || missed=$((missed + 1))
    [ -z "$node" ] || { kill $node && children=${children% *} && ! wait $node 2>/dev/null; }
    echo
fi

# ---- counted: what more requests cost more, so start and end of a program do not count -------

# per_request FEWER MORE CONNECTIONS
per_request() {
    awk -v a="$1" -v b="$2" -v n=$(((many - few) * $3)) '
        BEGIN { d = (b - a) / n; printf "%.2f", (d < 0 && d > -0.005) ? 0 : d }'
}

# count_instructions SERVER KIND: sets value
count_instructions() {
    local requests totals=""
    for requests in $few $many; do
        start "$1" valgrind --tool=callgrind --callgrind-out-file=/dev/null
        client 1 $requests "$2"
        stop
        totals="$totals $(awk '/Collected :/ { print $NF }' "$tmp/err")"
    done
    # shellcheck disable=SC2086
    value=$(per_request $totals 1)
}

# count_calls SERVER CONNECTIONS: sets value, and which for those that are made often
count_calls() {
    local requests n=$(((many - few) * $2))
    for requests in $few $many; do
        start "$1" strace -f -c -o "$tmp/calls.$requests"
        client "$2" $requests
        stop
    done
    # shellcheck disable=SC2016
    read -r value which < <(awk -v n=$n '
        FNR == 1 { file++ }
        $NF == "total" || $4 !~ /^[0-9]+$/ { next }
        { calls[$NF] += file == 1 ? -$4 : $4 }
        END {
            for (name in calls) {
                all += calls[name]
                if (calls[name] / n >= 0.005)
                    text = text sprintf(" %s %.2f", name, calls[name] / n)
            }
            printf "%.2f%s\n", all / n, text
        }' "$tmp/calls.$few" "$tmp/calls.$many")
}

# count_allocations CONNECTIONS: sets value
count_allocations() {
    local requests totals=""
    for requests in $few $many; do
        start uhttp_count
        client "$1" $requests
        stop
        totals="$totals $(said allocations)"
    done
    # shellcheck disable=SC2086
    value=$(per_request $totals "$1")
}

# What 512 connections, as many as there are slots, hold when all asked at once and were idle
# for four seconds since.
# Sets value (by our own count) and heap (by the C library's)
count_memory() {
    local idle=512
    start uhttp_count
    hold $idle
    sleep 4
    kill -USR1 "$server"
    for _ in $(seq 100); do
        [ -z "$(said heap)" ] || break
        sleep 0.05
    done
    [ -n "$(said heap)" ] || fail "the server does not report"
    value=$(($(said bytes) / idle)) heap=$(($(said heap) / idle))
    let_go
    stop
}

# row NAME EPOLL SELECT UHTTP TARGET
row() {
    judge "$4" "$5"
    printf '%-42s %9s %9s %9s %7s %s\n' "$@" $verdict
}

for name in $counted; do
    ! wanted $name || { row_head=yes && break; }
done
[ -z "${row_head:-}" ] || printf '%-42s %9s %9s %9s %7s\n' "" epoll select uhttp target

if wanted instructions; then
    for kind in browser:3750 plain:2790; do
        set --
        for name in $servers; do
            count_instructions $name ${kind%:*}
            set -- "$@" "${value%.*}"
        done
        row "instructions per ${kind%:*} request" "$@" ${kind#*:}
    done
fi
if wanted calls; then
    for connections in 1 16; do
        set --
        for name in $servers; do
            count_calls $name $connections
            set -- "$@" "$value"
        done
        row "system calls per request, $connections at once" "$@" 3
        echo "    uhttp: $which"
    done
fi
if wanted allocations; then
    for connections in 1 64; do
        count_allocations $connections
        row "allocations per request, $connections at once" - - "$value" 0
    done
fi
if wanted memory; then
    count_memory
    row "heap bytes per idle connection, counted" - - $value 400
    row "heap bytes per idle connection, mallinfo2" - - $heap 400
fi

[ $missed = 0 ] || echo "targets missed: $missed"
[ $check = no ] || [ $missed = 0 ]
