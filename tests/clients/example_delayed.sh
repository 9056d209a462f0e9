#!/bin/bash
# examples/delayed.c: answers that come later, and clients that do not wait for them
. "$(dirname "$0")/../script.sh"

build delayed -pthread
start delayed 0

# await_status PATTERN
await_status() {
    for _ in $(seq 200); do
        ask "$url/status" >"$dir/status"
        grep -q "$1" "$dir/status" && return 0
        sleep 0.05
    done
    sed 's/^/# /' "$dir/status"
    return 1
}

is "an answer that was prepared beside the loop" "20 ms of work" "$(ask "$url/work?ms=20")"
is "it comes on a connection that lives on" "1 0 " \
    "$(ask -o "$dir/out" -o "$dir/out" -w '%{num_connects} ' "$url/work?ms=0" "$url/status")"
for query in "" "?ms" "?ms=" "?ms=x" "?ms=-1" "?ms=%2B1" "?ms=10x" "?ms=5001" \
        "?ms=99999999999999999999"; do
    is "'$query' says not how long: 400" 400 "$(status "$url/work$query")"
done

ask -o "$dir/late" "$url/work?ms=300" &
late=$!
await_status "busy 1,"
ok "the loop answers others while a job is under way"
wait $late
is "and then the job's client" "300 ms of work" "$(cat "$dir/late")"

mkdir "$dir/many"
at_once 40 -o "$dir/many/#1" "$url/work?ms=[1-40]" 2>/dev/null
good=0
for i in $(seq 40); do
    [ "$(cat "$dir/many/$i")" = "$i ms of work" ] && good=$((good + 1))
done
is "40 at once: each gets its own answer" 40 $good

# both workers are kept busy for clients that leave; behind them the queue fills
await_status "queued 0, busy 0,"
for i in 1 2; do
    curl -q -sS -o "$dir/out" "$url/work?ms=5000" &
    leaving=$!
    await_status "busy $i,"
    kill $leaving
    wait $leaving 2>"$dir/err"
done
at_once 20 --max-time 1.5 -o "$dir/many/#1" "$url/work?ms=[1001-1020]"
await_status "queued 20, busy 2,"
ok "a job goes on, and others wait, when their clients have left"
at_once 50 -D "$dir/heads" -w '%{http_code}\n' -o "$dir/many/#1" \
    "$url/work?ms=[1-50]" >"$dir/codes"
is "the queue is bounded" "44 answered, 6 refused" \
    "$(grep -c 200 "$dir/codes") answered, $(grep -c 503 "$dir/codes") refused"
grep -qi '^retry-after: 1' "$dir/heads"
ok "who is refused is told to come back"
await_status "queued 0, busy 0, answered 87, left 22\$"
ok "jobs of those who left are dropped from the queue, and their results come to nobody"

ask -o "$dir/late" "$url/work?ms=500" &
late=$!
await_status "busy 1,"
end TERM "$started"
is "SIGTERM in the middle of a job ends it with status 0" 0 $?
wait $late
is "and without complaints" "" "$(cat "$dir/delayed.err")"
done_testing
