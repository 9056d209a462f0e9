#!/bin/bash
# examples/own_loop.c: the server, a timer and the input in one poll() loop
. "$(dirname "$0")/../script.sh"

build own_loop
start own_loop 0

measured() {
    ask "$url/" | sed -n 's/.* measured \([0-9]*\) times$/\1/p'
}

# a head that never ends, while all else goes on
exec 8<>"/dev/tcp/127.0.0.1/$port"
printf 'GET / HTTP/1.1\r\nHost:' >&8

ask "$url/" | grep -q '^[0-9]* degrees, limit 25, measured [0-9]* times$'
ok "it shows what is measured"
is "and nothing else" 404 "$(status "$url/other")"
echo "limit 19" >&9
await "$dir/own_loop.out" '^2[0-9] degrees'
ok "it takes commands from its input and has time to measure"
is "which a request sees" "limit 19" "$(ask "$url/" | grep -o 'limit [0-9]*')"
printf 'lim' >&9
sleep 0.1
printf 'it 7\nnonsense\nlimit' >&9
printf ' 99\n' >&9
await "$dir/own_loop.out" '^there are: '
ok "an unknown command is said to be one"
for _ in $(seq 50); do
    ask "$url/" | grep -q 'limit 99' && break
    sleep 0.05
done
is "commands may come in pieces" "limit 99" "$(ask "$url/" | grep -o 'limit [0-9]*')"
head -c 1000 /dev/zero | tr '\0' x >&9
printf '\nlimit 88\n' >&9
for _ in $(seq 50); do
    ask "$url/" | grep -q 'limit 88' && break
    sleep 0.05
done
is "a line that is too long is passed over" "limit 88" "$(ask "$url/" | grep -o 'limit [0-9]*')"

before=$(measured)
at_once 50 -o "$dir/out" "$url/?[1-500]"
is "500 requests come and go" 0 $?
after=$(measured)
sleep 2
later=$(measured)
[ $((later - after)) -ge 6 ] && [ $((later - before)) -le 100 ]
ok "measurements go on in time without any traffic, and no faster with it"

IFS= read -r -t 20 line <&8
is "a timeout of the server's comes without traffic" "HTTP/1.1 408 Request Timeout" "${line%$'\r'}"
exec 8>&-

# its processor time, in hundredths of a second
used() {
    awk '{ sub(/.*\) /, ""); print $12 + $13 }' "/proc/$started/stat"
}
if [ -r "/proc/$started/stat" ]; then
    before=$(used)
    sleep 1
    [ $(($(used) - before)) -le 10 ]
    ok "it sleeps when there is nothing to do"
fi
echo quit >&9
end 0 "$started"
is "'quit' ends it with status 0" 0 $?
is "without complaints" "" "$(cat "$dir/own_loop.err")"

"$dir/own_loop" 0 >"$dir/own_loop.out" 2>"$dir/own_loop.err" </dev/null &
started=$!
children+=("$started")
await "$dir/own_loop.out" '^listening'
url=$(sed -n 's|^listening on \(http://[^/]*\).*|\1|p' "$dir/own_loop.out")
is "without an input it serves on" 200 "$(status "$url/")"
if [ -r "/proc/$started/stat" ]; then
    before=$(used)
    sleep 1
    [ $(($(used) - before)) -le 10 ]
    ok "and sleeps as well"
fi
kill "$started"
done_testing
