#!/bin/bash
# A restart under load: examples/prefork.c renews its workers three times while clients with kept-alive
# connections ask for pages and post, directly and through nginx and HAProxy. No request may fail.
. "$(dirname "$0")/../script.sh"

PATH=$PATH:/usr/sbin:/usr/local/sbin
command -v wrk >/dev/null || skip_all "wrk is not installed"

cat >"$dir/mixed.lua" <<'LUA'
local count = 0
function request()
   count = count + 1
   if count % 2 == 0 then return wrk.format("GET", "/" .. count) end
   return wrk.format("POST", "/" .. count, nil, "12345")
end
function done(summary)
   local e = summary.errors
   print(string.format("answers %d connect %d read %d write %d status %d timeout %d", summary.requests,
                       e.connect, e.read, e.write, e.status, e.timeout))
end
LUA

build prefork
"$cc" -o "$dir/ports" "$(find tests -name curl_server.c)" >"$dir/log" 2>&1 || bail_out "curl_server.c builds"
start prefork 0 2

# settle FILE: a proxy's configuration with our ports, and without TLS
settle() {
    sed -e "s|127.0.0.1:8080|127.0.0.1:$port|" -e "s|listen 80;|listen 127.0.0.1:$front;|" \
        -e "s|bind :80\$|bind 127.0.0.1:$front|" -e '/443/d' -e '/ssl_certificate/d' "$1"
}

# reach URL: until it answers
reach() {
    for _ in $(seq 100); do
        [ "$(status "$1")" != 200 ] || return 0
        sleep 0.1
    done
    return 1
}

renewed=0

# check WAY URL: three restarts within six seconds of load
check() {
    reach "$2"
    ok "$1: it answers"
    wrk -t1 -c24 -d6s --timeout 30s -s "$dir/mixed.lua" "$2" >"$dir/wrk.out" 2>&1 &
    local load=$!
    for _ in 1 2 3; do
        sleep 1.3
        renewed=$((renewed + 1))
        kill -HUP "$started"
        await "$dir/prefork.out" '^restarted 2 of 2' $renewed
        ok "$1: workers are renewed under load"
    done
    wait $load
    totals=$(grep '^answers' "$dir/wrk.out")
    is "$1: and no request fails" "connect 0 read 0 write 0 status 0 timeout 0" "${totals#answers * }"
    totals=${totals#answers }
    [ "${totals%% *}" -gt 1000 ]
    ok "$1: of many (${totals%% *})"
}

run_nginx() {
    local temp=
    front=$("$dir/ports" --free-port)
    for kind in client_body proxy fastcgi uwsgi scgi; do
        temp="$temp ${kind}_temp_path $dir/$kind;"
    done
    settle examples/proxy.nginx.conf | sed "s|^http {|& access_log off; $temp|" >"$dir/nginx.conf"
    [ "$(id -u)" != 0 ] || echo "user root;" >>"$dir/nginx.conf"
    nginx -p "$dir" -c "$dir/nginx.conf" -e "$dir/log" \
        -g "daemon off; master_process off; pid $dir/nginx.pid; error_log $dir/log;" 2>>"$dir/log" &
    children+=($!)
}

run_haproxy() {
    front=$("$dir/ports" --free-port)
    settle examples/proxy.haproxy.cfg >"$dir/haproxy.cfg"
    haproxy -db -f "$dir/haproxy.cfg" >"$dir/log" 2>&1 &
    children+=($!)
}

# each_proxy DO: with the name of each that is installed, once it runs in front of $port
each_proxy() {
    for proxy in nginx haproxy; do
        if command -v $proxy >/dev/null; then
            run_$proxy
            "$1" $proxy
        else
            echo "ok $((number += 1)) - $proxy # SKIP not installed"
        fi
    done
}

check_restart() {
    check "$1" "http://127.0.0.1:$front/"
}

# The handshake of RFC 6455 section 1.3, passed on, and the answer to it passed back.
check_websocket() {
    reach "http://127.0.0.1:$front/"
    ask --http1.1 --max-time 2 -i -o "$dir/out" -H 'Connection: Upgrade' -H 'Upgrade: websocket' \
        -H 'Sec-WebSocket-Version: 13' -H 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==' \
        "http://127.0.0.1:$front/ws"
    is "$1: a WebSocket is opened through it" "HTTP/1.1 101 s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" \
        "$(tr -d '\r' <"$dir/out" | sed -n '1s/^\(HTTP[^ ]* 101\).*/\1/p
            s/^[Ss]ec-[Ww]eb[Ss]ocket-[Aa]ccept: //p' | paste -s -d' ')"
}

check direct "$url/"
each_proxy check_restart
end TERM "$started"
is "SIGTERM ends it with status 0" 0 $?

build websocket
start websocket 0
each_proxy check_websocket
done_testing
