#!/usr/bin/env bash
# Measures files against nginx, and memory against a bare send loop, by CPU per GiB.
#
#   tests/bench/file.sh [--rounds N] [--seconds N]
#
#   --rounds N   rounds of all servers, interleaved; medians are compared (5)
#   --seconds N  how long each is asked in each round (3)
#
# A file of 10 MiB goes to 8 connections by uHTTP and by nginx (one worker, sendfile on), 1 MiB of
# memory by uHTTP and by a select() and sendmsg() loop. The server runs on core 0, wrk on core 1.
# CPU is the process's own, user and system, as the kernel counts it for all of them alike. Ends
# with 1 if a target is missed. CC and CFLAGS are honoured; nothing is left behind.
set -eu
export LC_ALL=C
unset http_proxy HTTP_PROXY all_proxy ALL_PROXY

here=$(cd "$(dirname "$0")" && pwd)
rounds=5 seconds=3

fail() {
    echo "file: $*" >&2
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

command -v wrk >/dev/null || fail "wrk is missing; Debian package: wrk"
nginx=$(command -v nginx || echo /usr/sbin/nginx)
[ -x "$nginx" ] || fail "nginx is missing; Debian package: nginx-light"
taskset -c 1 true 2>/dev/null || fail "needs cores 0 and 1"
tmp=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill -KILL "$server" 2>/dev/null || true; rm -rf "$tmp"' EXIT
trap 'exit 130' INT TERM

# shellcheck disable=SC2086
"${CC:-cc}" -std=c99 -O2 -Wall -Wextra ${CFLAGS:-} -I"$here/../.." -o "$tmp/file" "$here/file.c" ||
    fail "cannot build file.c"
chmod 755 "$tmp"
mkdir "$tmp/site"
head -c 10485760 /dev/urandom >"$tmp/site/file"
nginx_port=$("$tmp/file" bare | { read -r _ port _ pid; kill "$pid"; echo "$port"; })
cat >"$tmp/nginx.conf" <<END
daemon off;
master_process off;
pid $tmp/nginx.pid;
error_log $tmp/nginx.log;
events { worker_connections 64; }
http {
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000;
    client_body_temp_path $tmp/n1; proxy_temp_path $tmp/n2; fastcgi_temp_path $tmp/n3;
    uwsgi_temp_path $tmp/n4; scgi_temp_path $tmp/n5;
    server { listen 127.0.0.1:$nginx_port; root $tmp/site; }
}
END

# start NAME: sets server and port
start() {
    : >"$tmp/out"
    case $1 in
    nginx) taskset -c 0 "$nginx" -c "$tmp/nginx.conf" -p "$tmp" >"$tmp/out" 2>&1 & ;;
    file) taskset -c 0 "$tmp/file" "$tmp/site/file" >"$tmp/out" 2>&1 & ;;
    *) taskset -c 0 "$tmp/file" "$1" >"$tmp/out" 2>&1 & ;;
    esac
    server=$!
    port=$nginx_port
    for _ in $(seq 100); do
        sleep 0.05
        [ "$1" = nginx ] || port=$(awk '$1 == "port" { print $2 }' "$tmp/out")
        [ -z "$port" ] || ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || return 0
    done
    fail "$1 does not start: $(cat "$tmp/out" "$tmp/nginx.log" 2>/dev/null)"
}

# ticks: of processor time the server has used
ticks() { awk '{ print $14 + $15 }' "/proc/$server/stat"; }

# measure NAME: adds a line to the samples: name, CPU in ms per GiB, MiB per second
measure() {
    local before after bytes us
    start "$1"
    before=$(ticks)
    taskset -c 1 wrk -t1 -c8 -d"${seconds}s" --timeout 10s -s "$here/wrk_bytes.lua" \
        "http://127.0.0.1:$port/file" >"$tmp/wrk" 2>&1 || fail "wrk: $(cat "$tmp/wrk")"
    after=$(ticks)
    kill -TERM "$server"
    wait "$server" 2>/dev/null || true
    server=
    read -r _ bytes us errors < <(grep '^bytes ' "$tmp/wrk") || fail "wrk: $(cat "$tmp/wrk")"
    [ "$errors" = 0 ] && [ "$bytes" -gt 0 ] || fail "invalid run of $1: $(cat "$tmp/wrk")"
    awk -v n="$1" -v t=$((after - before)) -v hz="$(getconf CLK_TCK)" -v b="$bytes" -v us="$us" \
        'BEGIN { print n, t * 1000 / hz / b * 1073741824, b / us / 1.048576 }' >>"$tmp/samples"
}

# median NAME COLUMN
median() {
    awk -v n="$1" -v c="$2" '$1 == n { print $c }' "$tmp/samples" | sort -n |
        awk '{ v[NR] = $1 } END { printf "%.0f\n", (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2 }'
}

missed=0

# compare WHAT OURS THEIRS
compare() {
    local a b ratio verdict=ok
    a=$(median "$2" 2) b=$(median "$3" 2)
    ratio=$(awk -v a="$a" -v b="$b" 'BEGIN { printf "%.2f", a / b }')
    awk -v r="$ratio" 'BEGIN { exit !(r <= 1.10) }' || { verdict=MISSED && missed=1; }
    printf '%-36s %5s ms, %-6s %5s ms: %s of at most 1.10, %s (%s and %s MiB/s)\n' "$1" "$a" "$3" \
        "$b" "$ratio" $verdict "$(median "$2" 3)" "$(median "$3" 3)"
}

order="file nginx static bare"
for _ in $(seq "$rounds"); do
    for name in $order; do measure "$name"; done
    order="${order#* } ${order%% *}"        # nobody is always the first
done
echo "8 connections, CPU per GiB, medians of $rounds rounds of $seconds s"
compare "10 MiB file, uHTTP" file nginx
compare "1 MiB of memory, uHTTP" static bare
exit $missed
