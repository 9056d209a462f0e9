#!/bin/bash
# examples/events.c: measurements in order, what was missed, and how it ends
. "$(dirname "$0")/../script.sh"

build events
start events 0

# listen SECONDS FILE ARGUMENT...: what comes in so many seconds
listen() {
    curl -q -sS -N --max-time "$1" -o "$dir/$2" "${@:3}" 2>"$dir/err"
}

# ids FILE: the ids in the order they came
ids() {
    sed -n 's/^id: //p' "$dir/$1"
}

is "the page is there" 200 "$(status "$url/")"
is "nothing else is" 404 "$(status "$url/nothing")"
listen 4.3 first -D "$dir/heads" "$url/events"
tr -d '\r' <"$dir/heads" >"$dir/head"
grep -qx 'Content-Type: text/event-stream' "$dir/head" &&
    grep -qx 'Cache-Control: no-store' "$dir/head"
ok "a stream has its type, and nobody keeps it"
is "it begins with the pause before coming back" "retry: 1000" "$(head -n 1 "$dir/first")"
[ "$(ids first | wc -l)" -ge 4 ] && ids first | sort -n -c -u
ok "measurements come every second, ids rise"
is "each is an event of its own" "event: measurement" \
    "$(awk 'BEGIN { RS = "" } NR > 1 { print $1 " " $2 }' "$dir/first" | sort -u)"
sed -n 's/^data: //p' "$dir/first" | grep -qvx '{"temperature":[0-9.]*}'
[ $? -eq 1 ]
ok "data is JSON"

second=$(ids first | sed -n 2p)
third=$(ids first | sed -n 3p)
listen 0.3 again -H "Last-Event-ID: $second" "$url/events"
is "who comes back begins behind the last it has seen" "$third" "$(ids again | head -n 1)"
ids first | sed -n '3,$p' >"$dir/missed"
ids again | head -n "$(wc -l <"$dir/missed")" | cmp -s - "$dir/missed"
ok "and misses none"
listen 0.3 all -H "Last-Event-ID: nonsense" "$url/events"
is "an id that is none is before all" "$(ids first | head -n 1)" \
    "$(ids all | grep -x "$(ids first | head -n 1)")"
is "HEAD gets a head and no stream, and the connection lives on" "200 1 200 0 " \
    "$(ask -I --max-time 2 -o "$dir/out" -o "$dir/out" -w '%{http_code} %{num_connects} ' \
       "$url/events" "$url/events")"

for i in $(seq 30); do
    listen 20 "many.$i" "$url/events?all" &
    children+=($!)
done
for _ in $(seq 100); do
    [ "$(grep -l '^id' "$dir"/many.* 2>/dev/null | wc -l)" = 30 ] && break
    sleep 0.1
done
[ "$(grep -l '^id' "$dir"/many.* | wc -l)" = 30 ]
ok "30 listeners at once all hear something"

end TERM "$started"
is "SIGTERM ends it with status 0" 0 $?
for _ in $(seq 50); do
    [ "$(jobs -rp | wc -l)" = 0 ] && break
    sleep 0.1
done
is "and every stream in order" 0 "$(jobs -rp | wc -l)"
"$dir/events" 70000 2>"$dir/err"
is "what is not a port is refused" 2 $?
done_testing
