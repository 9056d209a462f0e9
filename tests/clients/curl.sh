#!/usr/bin/env bash
# Asks the first example and a server of our own with a real client, on the loopback only.
# Prints TAP. CC is the compiler; RUN is put before each program, as an emulator.
. "$(dirname "$0")/../script.sh"
run=${RUN:-}

# start_hello ARGUMENT...: runs it in the background as $hello
start_hello() {
    rm -f "$dir/hello.out"
    $run "$dir/hello" "$@" >"$dir/hello.out" 2>"$dir/hello.err" </dev/null &
    hello=$!
    children+=("$hello")
}

# hello_fails ARGUMENT...: starts hello, which ought to end by itself; its status
hello_fails() {
    $run "$dir/hello" "$@" >"$dir/out" 2>"$dir/err" </dev/null &
    end 0 $!
}

$cc -o "$dir/hello" examples/hello.c >"$dir/log" 2>&1 || bail_out "examples/hello.c builds"
$cc -o "$dir/server" tests/clients/curl_server.c >"$dir/log" 2>&1 ||
    bail_out "tests/clients/curl_server.c builds"

# --- the first example ----------------------------------------------------------------------

port=$($run "$dir/server" --free-port)
start_hello "$port"
await "$dir/hello.out" "listening on http://localhost:$port/"
ok "hello takes a port and says where it listens"

is "hello greets" "<h1>hello</h1> 200" \
    "$(ask -w '%{http_code}' "http://127.0.0.1:$port/" | tr '\n' ' ')"
is "hello's greeting is HTML" "text/html; charset=utf-8" \
    "$(ask -o "$dir/out" -w '%{content_type}' "http://127.0.0.1:$port/")"
is "other paths are not found" "404" \
    "$(ask -o "$dir/out" -w '%{http_code}' "http://127.0.0.1:$port/other")"
is "and the answer says so" "404 Not Found" "$(cat "$dir/out")"
ask -I "http://127.0.0.1:$port/" | tr -d '\r' >"$dir/out"
is "HEAD has the length of what it does not send" "Content-Length: 15" \
    "$(grep -i '^content-length' "$dir/out")"
is "HEAD ends with its head" "" "$(sed '1,/^$/d' "$dir/out")"

hello_fails "$port"
is "a busy port is an error" 1 $?
is "which names the port and the reason" "cannot listen on port $port: the port is in use" \
    "$(cat "$dir/err")"
is "and nothing claims to listen" "" "$(cat "$dir/out")"

for argument in abc 65536 -1 80x "" " 80" +80 "99999999999999999999"; do
    hello_fails "$argument"
    status=$?
    [ $status -eq 2 ] && grep -q '^usage:' "$dir/err" && [ ! -s "$dir/out" ]
    ok "'$argument' is no port: usage, status 2"
done
hello_fails 8080 8081
is "two arguments are one too many" 2 $?

end INT "$hello"
is "Ctrl-C ends hello with status 0" 0 $?
is "and it says so" "listening on http://localhost:$port/ stopped " \
    "$(tr '\n' ' ' <"$dir/hello.out")"
is "without complaints" "" "$(cat "$dir/hello.err")"

start_hello "$port"
await "$dir/hello.out" "listening on"
ok "the port is free again at once"
end TERM "$hello"
is "SIGTERM ends it with status 0, too" 0 $?

start_hello 0
await "$dir/hello.out" "^listening on http://localhost:[1-9][0-9]*/"
port=$(tr -cd '0-9' <"$dir/hello.out")
is "port 0 is any that is free, and hello says which" 200 \
    "$(ask -o "$dir/out" -w '%{http_code}' "http://127.0.0.1:$port/")"
end TERM "$hello"

start_hello
await "$dir/hello.out" ":8080/" || grep -q "port 8080: " "$dir/hello.err"
ok "without an argument it is port 8080"
kill "$hello" 2>/dev/null
wait "$hello" 2>/dev/null

# --- a server with more to say --------------------------------------------------------------

head -c 20000000 /dev/urandom >"$dir/file"
head -c 1500000 "$dir/file" >"$dir/body"
$run "$dir/server" "$dir/file" >"$dir/server.out" 2>"$dir/log" </dev/null &
server=$!
children+=("$server")
await "$dir/server.out" "^port" || bail_out "tests/clients/curl_server.c runs"
port=$(sed -n 's/^port \([0-9]*\).*/\1/p' "$dir/server.out")
url=http://127.0.0.1:$port

is "GET is answered" "/a" "$(ask "$url/a")"
is "a path is decoded" "/a b" "$(ask "$url/a%20b?c=d")"
is "two URLs share a connection" "1 0 " \
    "$(ask -o "$dir/out" -o "$dir/out" -w '%{num_connects} ' "$url/a" "$url/b")"
is "HEAD and GET share it, too" "1 0 " \
    "$(ask -I -o "$dir/out" "$url/a" -w '%{num_connects} ' --next -q -sS -o "$dir/out" \
        "$url/b" -w '%{num_connects} ')"
is "'Connection: close' is obeyed" "1 1 " \
    "$(ask -H 'Connection: close' -o "$dir/out" -o "$dir/out" -w '%{num_connects} ' \
        "$url/a" "$url/b")"
is "a redirect is followed" "/new/place" "$(ask -L "$url/moved")"
is "a stream is whole" "1000 line 999" \
    "$(ask "$url/stream" >"$dir/out"; echo "$(($(wc -l <"$dir/out"))) $(tail -n 1 "$dir/out")")"

is "a small POST comes back" "a=1&b=2" "$(ask -d 'a=1&b=2' "$url/echo")"
is "an empty POST is a request" "200 0" \
    "$(ask -X POST -d '' -o "$dir/out" -w '%{http_code} %{size_download}' "$url/echo")"
ask -H 'Expect:' --data-binary "@$dir/body" -o "$dir/out" "$url/echo"
cmp -s "$dir/body" "$dir/out"
ok "a POST of 1.5 MB comes back"
ask -H 'Expect: 100-continue' --expect100-timeout 30 --data-binary "@$dir/body" -v \
    -o "$dir/out" "$url/echo"
cmp -s "$dir/body" "$dir/out" && grep -q '< HTTP/1.1 100 Continue' "$dir/err"
ok "a large POST that waits for 100 Continue gets it, and comes back"
ask -T - -H 'Expect:' -X POST -v -o "$dir/out" "$url/echo" <"$dir/body"
cmp -s "$dir/body" "$dir/out" && grep -qi 'transfer-encoding: chunked' "$dir/err"
ok "a chunked upload comes back"
ask -T - -H 'Expect: 100-continue' --expect100-timeout 30 -X POST -o "$dir/out" \
    "$url/echo" <"$dir/body"
cmp -s "$dir/body" "$dir/out"
ok "a chunked upload that waits comes back"
ask -T "$dir/body" -o "$dir/out" "$url/echo"
cmp -s "$dir/body" "$dir/out"
ok "a PUT comes back"
is "several POSTs share a connection" "1 0 0 " \
    "$(ask -d 1 -o "$dir/out" -o "$dir/out" -o "$dir/out" -w '%{num_connects} ' \
        "$url/echo" "$url/a" "$url/echo")"

is "a body beyond the limit is refused and the refusal arrives" "413" \
    "$(ask -H 'Expect:' --data-binary "@$dir/file" -o "$dir/out" -w '%{http_code}' "$url/echo")"
is "it says what it is" "413 Content Too Large" "$(cat "$dir/out")"
is "the same for one that waits for 100 Continue" "413" \
    "$(ask -H 'Expect: 100-continue' --expect100-timeout 30 --data-binary "@$dir/file" \
        -o "$dir/out" -w '%{http_code}' "$url/echo")"
is "the same for a chunked one" "413" \
    "$(ask -T - -H 'Expect:' -X POST -o "$dir/out" -w '%{http_code}' "$url/echo" <"$dir/file")"
long=$(head -c 5000 /dev/zero | tr '\0' x)
is "a head beyond the limit is refused" "431" \
    "$(ask -H "X-Long: $long" -o "$dir/out" -w '%{http_code}' "$url/a")"
is "a target beyond the limit is refused" "414" \
    "$(ask -o "$dir/out" -w '%{http_code}' "$url/$long")"

is "HTTP/1.0 is answered" "/old 200 1" "$(ask -0 -w ' %{http_code} %{num_connects}' "$url/old")"
is "HTTP/1.0 closes" "1 1 " \
    "$(ask -0 -o "$dir/out" -o "$dir/out" -w '%{num_connects} ' "$url/a" "$url/b")"
is "HTTP/1.0 with keep-alive does not" "1 0 " \
    "$(ask -0 -H 'Connection: keep-alive' -o "$dir/out" -o "$dir/out" -w '%{num_connects} ' \
        "$url/a" "$url/b")"
is "a stream to HTTP/1.0 ends with the connection" "line 999" \
    "$(ask -0 "$url/stream" | tail -n 1)"

ask -o "$dir/out" "$url/file"
cmp -s "$dir/file" "$dir/out"
ok "20 MB arrive as they are"
ask --limit-rate 8m -o "$dir/slow" "$url/file" &
slow=$!
is "others are served meanwhile" "/meanwhile" "$(ask "$url/meanwhile")"
wait $slow
cmp -s "$dir/file" "$dir/slow"
ok "a slow reader gets the same 20 MB"

ask -o "$dir/late" "$url/later" &
late=$!
is "nobody waits for an answer that comes later" "/first" "$(ask "$url/first")"
wait $late
is "which comes" "at last" "$(cat "$dir/late")"

if curl --help all 2>/dev/null | grep -q -- --parallel-max; then
    mkdir "$dir/many"
    ask -Z --parallel-max 50 -o "$dir/many/#1" "$url/n/[1-300]" 2>/dev/null
    good=0
    for i in $(seq 300); do
        [ "$(cat "$dir/many/$i" 2>/dev/null)" = "/n/$i" ] && good=$((good + 1))
    done
    is "300 in parallel are all answered right" 300 $good
    ask -Z --parallel-max 8 -o "$dir/many/f#1" "$url/file?[1-8]" 2>/dev/null
    good=0
    for i in $(seq 8); do
        cmp -s "$dir/file" "$dir/many/f$i" && good=$((good + 1))
    done
    is "8 large downloads in parallel are all right" 8 $good
fi

if grep -q IPv6 "$dir/server.out"; then
    is "IPv6 is served beside it" "/six" "$(ask -g "http://[::1]:$port/six")"
fi

$run "$dir/server" "$dir/file" "$dir/socket" >"$dir/unix.out" 2>"$dir/log" </dev/null &
unix=$!
children+=("$unix")
await "$dir/unix.out" "^port 0"
is "a Unix socket is served" "/unix" "$(ask --unix-socket "$dir/socket" http://localhost/unix)"
end TERM "$unix"
is "and closed in order" 0 $?

# with a download half done, the shutdown waits for its end
ask --limit-rate 20m -o "$dir/out" "$url/file" &
slow=$!
sleep 0.3
end TERM "$server"
is "shutdown ends in order" 0 $?
wait $slow
is "and so does the download it waits for" 0 $?
cmp -s "$dir/file" "$dir/out"
ok "which is whole"

echo "1..$number"
[ $failures -eq 0 ]
