#!/bin/bash
# More clients than slots, all of them real: ab, node's http.Agent, aiohttp, POSTs on kept-alive
# connections that nobody repeats, nginx and HAProxy in front. Five slots, on the heap, in fixed
# memory and over TLS: no request is lost. Then hostile clients beside a good one, and a server
# that is short of descriptors. Clients that are not installed are skipped.
. "$(dirname "$0")/../script.sh"

PATH=$PATH:/usr/sbin:/usr/local/sbin
has() { command -v "$1" >/dev/null; }
has python3 || skip_all "there is no python3"
has curl || skip_all "there is no curl"
"$cc" -o "$dir/ports" tests/clients/curl_server.c >"$dir/log" 2>&1 || bail_out "the ports' program builds"
"$cc" ${CFLAGS:-} -O1 -Wall -Wextra -Wshadow -Werror -o "$dir/slots_server" \
    tests/clients/slots_server.c >"$dir/log" 2>&1 || bail_out "tests/clients/slots_server.c builds"
modes="heap fixed"
if echo '#include <mbedtls/ssl.h>' | "$cc" ${CFLAGS:-} -E - >/dev/null 2>&1 && has openssl &&
        tests/server/tls_certificates.sh "$dir/certs" >"$dir/log" 2>&1; then
    "$cc" ${CFLAGS:-} -O1 -Wall -Wextra -Wshadow -Werror -DUHTTP_TLS -o "$dir/slots_tls" \
        tests/clients/slots_server.c -lmbedtls -lmbedx509 -lmbedcrypto >"$dir/log" 2>&1 ||
        bail_out "tests/clients/slots_server.c builds with TLS"
    modes="$modes tls"
fi

# serve MODE: a new server of five slots
serve() {
    case $1 in
    heap) start slots_server ;;
    fixed) start slots_server -f ;;
    tls) start slots_tls -t "$dir/certs" ;;
    esac
    out=$dir/slots_server.out
    [ "$1" != tls ] || out=$dir/slots_tls.out
}

# count WORD: what the server, once it has ended, says of it
count() {
    sed -n "s/.*\b$1 \([0-9]*\).*/\1/p" "$out" | tail -n 1
}

skipped() {
    number=$((number + 1))
    echo "ok $number - $1 # SKIP $2"
}

# ab leaves a connection open when it has no more requests for it. Beside others that wait, the
# server ends it after a second, and ab counts that as an answer whose "Length" failed: what the
# server has answered and these are all, and these are at most as many as idle connections gave way.
check_ab() { # MODE CLIENTS REQUESTS
    local name="$1: ab -k -c $2" short
    serve "$1"
    ab -q -k -s 60 -n "$3" -c "$2" "$url/x" >"$dir/ab" 2>&1
    end TERM "$started"
    short=$(sed -n 's/.*Length: \([0-9]*\),.*/\1/p' "$dir/ab")
    is "$name completes all" "$3" "$(sed -n 's/^Complete requests: *//p' "$dir/ab")"
    [ $(($(count requests) + ${short:-0})) -ge "$3" ]
    ok "$name: each is answered ($(count requests), ${short:-0} were ends of idle connections)"
    [ "${short:-0}" -le "$(count evicted)" ] && ! grep -q 'Non-2xx' "$dir/ab" &&
        [ -z "$(grep 'Connect: ' "$dir/ab" |
            grep '(Connect: [^0]\|Receive: [^0]\|Exceptions: [^0]')" ]
    ok "$name loses none"
}

# node's agent: sockets, requests, method, thought in ms between two of one socket
check_node() { # MODE NAME SOCKETS REQUESTS METHOD THOUGHT
    serve "$1"
    is "$1: node, $2" "$4 answered, 0 lost" "$(NODE_NO_WARNINGS=1 NODE_TLS_REJECT_UNAUTHORIZED=0 timeout 60 node \
        tests/clients/agent.js "$url" "$3" "$4" "$5" "$6")"
    end TERM "$started"
    is "$1: and the server answered as many" "$4" "$(count requests)"
}

check_aiohttp() { # MODE
    serve "$1"
    is "$1: aiohttp with 12 connections" "240 0" "$(timeout 60 "$python" -c '
import aiohttp, asyncio, sys
async def main(url):
    good = lost = 0
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=12, ssl=False)) as session:
        async def worker():
            nonlocal good, lost
            for _ in range(20):
                try:
                    async with session.post(url + "/x", data=b"x" * 100) as response:
                        await response.read()
                        good += response.status == 200
                except aiohttp.ClientError:
                    lost += 1
        await asyncio.gather(*[worker() for _ in range(12)])
    print(good, lost)
asyncio.run(main(sys.argv[1]))' "$url" 2>"$dir/err")"
    end TERM "$started"
}

# A browser over TLS: six connections for a page of 40 pieces, each connection opened anew only
# when the server has closed it. Says how many pieces came, and whether handshakes were few.
check_page() {
    serve tls
    is "tls: six connections fetch a page of 40 pieces" "40 pieces, few handshakes" "$(timeout 60 python3 -c '
import http.client, queue, ssl, sys, threading
host, port = sys.argv[1].split("/")[2].split(":")
context = ssl._create_unverified_context()
pieces, done, handshakes = queue.Queue(), [], []
for i in range(40):
    pieces.put(i)
def connection():
    c = None
    while True:
        try:
            i = pieces.get_nowait()
        except queue.Empty:
            return c and c.close()
        if c is None or c.sock is None:
            c = http.client.HTTPSConnection(host, int(port), context=context, timeout=30)
            c.connect()
            handshakes.append(1)
        c.request("GET", "/x?%d" % i)
        answer = c.getresponse()
        answer.read()
        done.append(answer.status == 200)
threads = [threading.Thread(target=connection) for _ in range(6)]
[t.start() for t in threads]
[t.join() for t in threads]
n = len(handshakes)
print(sum(done), "pieces,", "few handshakes" if n <= 10 else "%d handshakes" % n)' "$url" 2>"$dir/err")"
    end TERM "$started"
}

for mode in $modes; do
    [ $mode != tls ] || check_page
    if has ab; then
        check_ab $mode 10 600
        [ $mode != heap ] || check_ab $mode 100 600
    else
        skipped "$mode: ab" "not installed"
    fi
    if has node; then
        check_node $mode "12 sockets" 12 480 GET 0
        check_node $mode "POSTs that are not repeated" 12 120 POST 200
    else
        skipped "$mode: node" "not installed"
    fi
    python=
    for candidate in python3 /usr/bin/python3; do
        [ -n "$python" ] || ! "$candidate" -c 'import aiohttp' 2>/dev/null || python=$candidate
    done
    [ $mode = heap ] || continue
    [ -n "$python" ] && check_aiohttp $mode || skipped "$mode: aiohttp" "not installed"
done

# --- a proxy in front, 20 clients that post, nobody repeats ----------------------------------------

# post_many BASE: 600 POSTs by 20 clients at once; prints how many were answered
post_many() {
    at_once 20 -d abc -w '%{http_code}\n' -o "$dir/answer" "$1/[1-600]" >"$dir/codes"
    grep -c '^200' "$dir/codes"
}

if has nginx; then
    serve heap
    front=$("$dir/ports" --free-port)
    cat >"$dir/nginx.conf" <<END
$([ "$(id -u)" != 0 ] || echo "user root;")
events { }
http {
    access_log off; client_body_temp_path $dir/b; proxy_temp_path $dir/p; fastcgi_temp_path $dir/f;
    uwsgi_temp_path $dir/u; scgi_temp_path $dir/s;
    upstream app { server 127.0.0.1:$port; keepalive 12; }
    server {
        listen 127.0.0.1:$front;
        location / { proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection ""; }
    }
}
END
    nginx -p "$dir" -c "$dir/nginx.conf" -e "$dir/log" \
        -g "daemon off; master_process off; pid $dir/nginx.pid; error_log $dir/log;" 2>>"$dir/log" &
    children+=($!)
    ask --retry 50 --retry-delay 0 --retry-connrefused -o "$dir/answer" "http://127.0.0.1:$front/"
    is "nginx in front: 600 POSTs" 600 "$(post_many "http://127.0.0.1:$front")"
    end TERM "$started"
else
    skipped "nginx in front" "not installed"
fi
if has haproxy; then
    serve heap
    front=$("$dir/ports" --free-port)
    cat >"$dir/haproxy.cfg" <<END
defaults
    mode http
    timeout connect 20s
    timeout client 20s
    timeout server 20s
    retries 0
    http-reuse always
frontend f
    bind 127.0.0.1:$front
    default_backend b
backend b
    server s 127.0.0.1:$port
END
    haproxy -db -f "$dir/haproxy.cfg" >"$dir/log" 2>&1 &
    children+=($!)
    ask --retry 50 --retry-delay 0 --retry-connrefused -o "$dir/answer" "http://127.0.0.1:$front/"
    is "HAProxy in front: 600 POSTs" 600 "$(post_many "http://127.0.0.1:$front")"
    end TERM "$started"
else
    skipped "HAProxy in front" "not installed"
fi

# --- hostile clients beside a good one -------------------------------------------------------------

# hostile KIND COUNT: so many sockets that stay, and come again when they are closed
hostile() {
    rm -f "$dir/guest"
    python3 - "$port" "$1" "$2" >"$dir/guest" <<'END' &
import random, socket, sys, time
port, kind, count = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
def begin():
    s = socket.create_connection(("127.0.0.1", port))
    s.settimeout(0.01)
    if kind == "garbage":
        s.sendall(b"\x16\x03\x01\x02\x00" + bytes(50))
    elif kind == "body":
        s.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 500000\r\n\r\n")
    elif kind == "reader":
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.sendall(b"GET /4000000 HTTP/1.1\r\nHost: x\r\n\r\n")
    return s
sockets = [begin() for _ in range(count)]
print("there", flush=True)
end = time.time() + 60
while time.time() < end:
    for i, s in enumerate(sockets):
        try:
            if kind == "body":
                s.sendall(b"x" * 20)
            elif kind != "reader" and s.recv(10) == b"":
                raise OSError
        except socket.timeout:
            pass
        except OSError:
            sockets[i] = begin()
    time.sleep(0.2)
END
    guest=$!
    children+=("$guest")
    await "$dir/guest" there || bail_out "$1 clients come"
    sleep 0.5
}

# newcomer NAME MOST: a request beside them, answered within so many seconds
newcomer() {
    local code time
    read -r code time < <(ask -k --max-time 30 -o "$dir/answer" -w '%{http_code} %{time_total}\n' "$url/x")
    [ "$code" = 200 ] && awk -v t="$time" -v most="$2" 'BEGIN { exit !(t < most) }'
    ok "$1: a newcomer is served (${time:-never} s)"
    kill -KILL "$guest" 2>/dev/null
    wait "$guest" 2>/dev/null
    end TERM "$started"
}

case $modes in
*tls*)
    for kind in silent garbage; do
        serve tls
        hostile $kind 3
        newcomer "over TLS, half the slots $kind" 4
    done ;;
*)
    skipped "hostile clients over TLS" "no mbedTLS" ;;
esac
serve heap
hostile silent 5
newcomer "all slots silent" 4
serve heap
hostile body 5
newcomer "slow bodies in all slots" 14
serve heap
hostile reader 5
newcomer "readers that do not read in all slots" 14

# --- short of descriptors: the kept-alive connections of a crowd give way ---------------------------

(ulimit -n 20; exec "$dir/slots_server" -n 60 >"$dir/few.out" 2>"$dir/few.err") &
started=$!
children+=("$started")
await "$dir/few.out" '^listening' || bail_out "a server with few descriptors starts"
url=http://127.0.0.1:$(sed -n 's|.*localhost:\([0-9]*\)/.*|\1|p' "$dir/few.out")
is "40 clients and 20 descriptors" 40 \
    "$(at_once 40 -o "$dir/answer" -w '%{http_code}\n' "$url/x?[1-40]" | grep -c 200)"
end TERM "$started"
is "a server with few descriptors ends with status 0" 0 $?
done_testing
