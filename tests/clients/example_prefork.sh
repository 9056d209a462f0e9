#!/bin/bash
# examples/prefork.c: processes on one port, and a restart that loses no request
. "$(dirname "$0")/../script.sh"

build prefork
start prefork 0 2
pids() {
    for _ in $(seq 40); do
        ask -H 'Connection: close' "$url/"
    done | sed -n 's/^process \([0-9]*\) .*/\1/p' | sort -u
}

is "it says how many workers there are" "with 2 workers" \
    "$(grep -o 'with .*' "$dir/prefork.out")"
first=$(pids)
is "the kernel spreads connections over both" 2 "$(echo "$first" | wc -l | tr -d ' ')"

# crowd SECONDS NAME: clients that come and go, one after the other, with a body each
crowd() {
    local stop=$((SECONDS + $1)) asked=0 good=0
    while [ "$SECONDS" -lt "$stop" ]; do
        asked=$((asked + 20))
        good=$((good + $(at_once 10 -H 'Connection: close' -d 12345 "$url/?[1-20]" 2>/dev/null |
            grep -c '^process [0-9]* took 5 bytes$')))
    done
    echo "$asked $good" >"$dir/$2"
}
# slow uploads begin with the old workers and end a few seconds later
head -c 200000 /dev/zero >"$dir/body"
slow=()
for i in 1 2 3 4 5 6; do
    curl -q -sS --max-time 60 --limit-rate 60000 -H 'Expect:' --data-binary "@$dir/body" \
        "$url/" >"$dir/slow.$i" 2>"$dir/slow.$i.err" &
    slow+=($!)
done
sleep 0.5
crowd 5 crowd.1 &
crowds=$!
crowd 5 crowd.2 &
crowds="$crowds $!"
sleep 0.5
kill -HUP "$started"
await "$dir/prefork.out" '^restarted 2 of 2' 1
ok "SIGHUP restarts all workers"
second=$(pids)
is "new ones serve at once" 2 "$(echo "$second" | wc -l | tr -d ' ')"
is "and none of the old" "" "$(comm -12 <(echo "$first") <(echo "$second"))"
kill -HUP "$started"
await "$dir/prefork.out" '^restarted 2 of 2' 2
ok "once more, while the first are still at work"
# shellcheck disable=SC2086
wait $crowds "${slow[@]}"
for i in 1 2; do
    read -r asked good <"$dir/crowd.$i"
    [ "$asked" -gt 40 ]
    ok "there were many requests meanwhile"
    is "and none of them was lost ($asked)" "$asked" "$good"
done
old=0
for i in 1 2 3 4 5 6; do
    pid=$(sed -n 's/^process \([0-9]*\) took 200000 bytes$/\1/p' "$dir/slow.$i")
    echo "$first" | grep -q -x "$pid" && old=$((old + 1))
done
is "old workers finished what they had begun" 6 $old
gone() {
    for _ in $(seq 100); do
        for pid in $1; do
            kill -0 "$pid" 2>/dev/null && break
        done
        kill -0 "$pid" 2>/dev/null || return 0
        sleep 0.1
    done
    return 1
}
gone "$first"
ok "and then they ended"

second=$(pids)
printf '#!/bin/sh\nexit 1\n' >"$dir/new"
chmod +x "$dir/new"
cp "$dir/prefork" "$dir/good"
mv "$dir/new" "$dir/prefork"
kill -HUP "$started"
await "$dir/prefork.out" '^restarted 0 of 2'
ok "a program that does not start replaces nothing"
is "and its workers serve on" "$second" "$(pids)"
mv "$dir/good" "$dir/prefork"

victim=$(echo "$second" | head -n 1)
kill -KILL "$victim"
sleep 0.2
is "one that dies is replaced" 2 "$(pids | wc -l | tr -d ' ')"
is "the other is not" "$(echo "$second" | tail -n 1)" \
    "$(comm -12 <(pids) <(echo "$second" | tail -n 1))"

last=$(pids)
end TERM "$started"
is "SIGTERM ends it with status 0" 0 $?
gone "$last"
ok "and all its workers"
build hello
"$dir/hello" "$port" >"$dir/hello.out" &
hello=$!
children+=("$hello")
await "$dir/hello.out" '^listening'
"$dir/prefork" "$port" 2>"$dir/err" >"$dir/out"
is "a port that is in use is an error" 1 $?
grep -q "^cannot start on port $port: " "$dir/err"
ok "which is told"
kill "$hello"
done_testing
