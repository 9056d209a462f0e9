#!/bin/bash
# examples/proxy.c behind nginx and HAProxy, with the configurations that stand beside it
. "$(dirname "$0")/../script.sh"

PATH=$PATH:/usr/sbin:/usr/local/sbin
command -v curl >/dev/null || skip_all "curl is not installed"
command -v openssl >/dev/null || skip_all "openssl is not installed"
command -v nginx >/dev/null || command -v haproxy >/dev/null ||
    skip_all "neither nginx nor HAProxy is installed"
ask --interface 127.0.0.5 -o "$dir/out" http://127.0.0.1:1/
[ $? -eq 7 ] || skip_all "this machine has only one loopback address"

"$cc" -o "$dir/ports" tests/clients/curl_server.c >"$dir/log" 2>&1 || bail_out "tests/clients/curl_server.c builds"
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost \
    -keyout "$dir/site.key" -out "$dir/site.crt" >"$dir/log" 2>&1 || bail_out "a certificate"
cat "$dir/site.crt" "$dir/site.key" >"$dir/site.pem"
build proxy
head -c 3000000 /dev/urandom >"$dir/body"

# choose_ports: $front and $secure for the next proxy
choose_ports() {
    front=$("$dir/ports" --free-port)
    secure=$("$dir/ports" --free-port)
}

# settle FILE: a configuration with our ports and paths
settle() {
    sed -e "s|127.0.0.1:8080|127.0.0.1:$port|" -e "s|/etc/ssl|$dir|" \
        -e "s|listen 80;|listen 127.0.0.1:$front;|" -e "s|listen 443|listen 127.0.0.1:$secure|" \
        -e "s|bind :80\$|bind 127.0.0.1:$front|" -e "s|bind :443|bind 127.0.0.1:$secure|" "$1"
}

run_nginx() {
    local temp=
    choose_ports
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
    choose_ports
    settle examples/proxy.haproxy.cfg >"$dir/haproxy.cfg"
    haproxy -db -f "$dir/haproxy.cfg" >"$dir/log" 2>&1 &
    children+=($!)
}

# line NAME: what the last answer says of it
line() {
    sed -n "s/^$1 //p" "$dir/out"
}

# check_proxy NAME CLIENT: all that is asked through one proxy, by a client with this address
check_proxy() {
    local base=http://127.0.0.1:$front secure_base=https://127.0.0.1:$secure
    for _ in $(seq 100); do
        ask -o "$dir/out" "$base/" && break
        sleep 0.1
    done
    is "$1: it is there" 200 "$(status "$base/")"

    is "$1: the client is who asks the proxy" "200 $2" \
        "$(status --interface "$2" "$base/a%20b?c=d") $(line client)"
    is "$1: the way has both" "$2, 127.0.0.1" "$(line way)"
    is "$1: the URL is the one that was asked for" "$base/a%20b?c=d" "$(line url)"
    ask --interface "$2" -o "$dir/out" -H 'X-Forwarded-For: 203.0.113.1' \
        -H 'X-Forwarded-Proto: https' -H 'X-Forwarded-Host: evil.example' \
        -H 'Forwarded: for=203.0.113.2;proto=https' "$base/"
    is "$1: nobody becomes another by saying so" "$2" "$(line client)"
    is "$1: nor the URL" "$base/" "$(line url)"
    is "$1: Forwarded does not reach the server" "nothing" "$(line forwarded)"
    ask -k --interface "$2" -o "$dir/out" -H 'X-Forwarded-Proto: http' "$secure_base/x"
    is "$1: over TLS the scheme is https" "$secure_base/x" "$(line url)"
    is "$1: and the client right, too" "$2" "$(line client)"
    ask -H 'Host: site.example:8443' -o "$dir/out" "$base/"
    is "$1: the host is the one the client names" "http://site.example:8443/" "$(line url)"

    ask --data-binary "@$dir/body" -o "$dir/out" "$base/"
    is "$1: a body of 3 MB arrives" 3000000 "$(line body)"
    ask -T - -X POST -o "$dir/out" "$base/" <"$dir/body"
    is "$1: a chunked one as well" 3000000 "$(line body)"

    local before after
    before=$(ask "$url/stats" | sed 's/.* on \([0-9]*\) .*/\1/')
    at_once 20 -w '%{http_code} %{size_download}\n' -o "$dir/out" --interface "$2" \
        "$base/count?[1-2000]" >"$dir/codes"
    is "$1: 2000 requests, and none fails" 2000 "$(grep -c '^200 ' "$dir/codes")"
    after=$(ask "$url/stats" | sed 's/.* on \([0-9]*\) .*/\1/')
    [ $((after - before)) -le 100 ]
    ok "$1: on few connections of the proxy ($((after - before)))"
    at_once 20 -w '%{http_code}\n' -o "$dir/out" -H 'Connection: close' \
        "$base/?[1-500]" >"$dir/codes"
    is "$1: 500 more, each client anew" 500 "$(grep -c '^200' "$dir/codes")"
    is "$1: the access log names the clients" 2000 \
        "$(grep -c "^$2 - - \[.*\] \"GET /count?[0-9]* HTTP/1.1\" 200 [0-9]*\$" "$dir/proxy.out")"
}

start proxy 0
is "without a proxy the client is the peer" "200 127.0.0.9" \
    "$(status --interface 127.0.0.9 -H 'X-Forwarded-For: 203.0.113.1' "$url/") $(line client)"

if command -v nginx >/dev/null; then
    run_nginx
    check_proxy nginx 127.0.0.5
else
    echo "ok $((number += 1)) - nginx # SKIP not installed"
fi
if command -v haproxy >/dev/null; then
    run_haproxy
    check_proxy HAProxy 127.0.0.6
else
    echo "ok $((number += 1)) - HAProxy # SKIP not installed"
fi

end TERM "$started"
is "SIGTERM ends it with status 0" 0 $?
is "nothing was refused" "" "$(cat "$dir/proxy.err")"
done_testing
