#!/bin/bash
# examples/export.c: all rows, in order, from little memory, while others are served
. "$(dirname "$0")/../script.sh"

build export -O1
start export 0

# rows FILE: "all in order" if it holds the rows from 1 on; else the first that is wrong
rows() {
    awk -v last="$2" '
        $0 != sprintf("{\"row\":%d,\"sensor\":\"%s\",\"temperature\":%s}", NR,
                      NR % 3 ? "garden" : "kitchen", 15 + NR % 128 / 8) {
            print "row " NR " is " $0
            exit bad = 1
        }
        END { if (!bad) print NR == last ? "all in order" : NR " rows" }' "$1"
}

# memory: the most the server ever had, in KiB; nothing where the system does not tell
memory() {
    sed -n 's/^VmHWM:[[:space:]]*\([0-9]*\) kB/\1/p' "/proc/$started/status" 2>/dev/null
}

ask -D "$dir/heads" -o "$dir/ten" "$url/export?rows=10"
is "ten rows" "all in order" "$(rows "$dir/ten" 10)"
grep -qi '^content-type: application/x-ndjson' "$dir/heads"
ok "they are NDJSON"
is "no rows" "200 0" "$(ask -o "$dir/out" -w '%{http_code} %{size_download}' "$url/export?rows=0")"
for query in "rows=" "rows=x" "rows=-1" "rows=10000001" "rows=99999999999999999999" "rows"; do
    is "'$query' says not how many: 400" 400 "$(status "$url/export?$query")"
done
is "two on one connection" "1 0 " "$(ask -o "$dir/out" -o "$dir/out" -w '%{num_connects} ' \
    "$url/export?rows=3" "$url/export?rows=2")"
is "HTTP/1.0 gets them as well" "all in order" \
    "$(ask -0 "$url/export?rows=5000" >"$dir/old"; rows "$dir/old" 5000)"

small=$(memory)
# a client that reads slowly, and one that begins and does not read at all
ask --limit-rate 20k -o "$dir/slow" "$url/export?rows=2000" &
slow=$!
exec 8<>"/dev/tcp/127.0.0.1/$port"
printf 'GET /export HTTP/1.1\r\nHost: a\r\n\r\n' >&8
ask -o "$dir/million" "$url/export"
is "a million rows beside them" "all in order" "$(rows "$dir/million" 1000000)"
wait $slow
is "the slow one gets all of its own" "all in order" "$(rows "$dir/slow" 2000)"
if [ -n "$small" ]; then
    large=$(memory)
    echo "# $small KiB before, $large KiB after a million rows"
    [ "$large" -lt $((small + 1024)) ]
    ok "that took less than another MiB of memory"
fi
at_once 20 -o "$dir/many.#1" "$url/export?rows=[20001-20020]"
good=0
for i in $(seq 20001 20020); do
    [ "$(rows "$dir/many.$i" "$i")" = "all in order" ] && good=$((good + 1))
done
is "twenty exports at once" 20 $good

ask -o "$dir/cut" "$url/export?rows=10000000" &
cut=$!
sleep 0.3
end TERM "$started"
is "SIGTERM ends it with status 0" 0 $?
wait $cut
[ $? -ne 0 ]
ok "an export under way looks cut, not complete"
done_testing
