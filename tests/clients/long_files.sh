#!/bin/bash
# Files of gigabytes by examples/files.c: slow readers, others meanwhile, and how little memory
# that takes
. "$(dirname "$0")/../script.sh"

space=$(df -Pk "${TMPDIR:-/tmp}" | awk 'NR == 2 { print $4 }')
[ "$space" -gt 1500000 ] || skip_all "no room for a file of 1 GiB"

site=$dir/site
mkdir "$site"
head -c 1073741824 /dev/urandom >"$site/large"
echo small >"$site/small"
truncate -s 6G "$site/sparse" && echo behind >>"$site/sparse"
build files -O2
start files 0 "$site"

# peak: kilobytes the server has ever used
peak() { awk '/^VmHWM/ { print $2 }' "/proc/$started/status"; }

ask "$url/small" >"$dir/out"
before=$(peak)
readers=()
for i in 1 2 3 4; do
    curl -q -sS --max-time 170 --limit-rate 25M "$url/large" 2>"$dir/err.$i" |
        cmp -s - "$site/large" &
    readers+=($!)
done
served=0
slowest=0
for _ in $(seq 60); do
    if took=$(ask -o "$dir/out" -w '%{time_total}' "$url/small"); then
        served=$((served + 1))
        slowest=$(awk -v a="$slowest" -v b="$took" 'BEGIN { print (a > b ? a : b) }')
    fi
    sleep 0.25
done
is "60 others are served meanwhile" 60 $served
# beside compilers and other tests; alone it is a few milliseconds
awk -v s="$slowest" 'BEGIN { exit !(s < 5) }'
ok "none of them waits for the large ones (the slowest: $slowest s)"
for i in 1 2 3 4; do
    wait "${readers[$((i - 1))]}"
    ok "slow reader $i gets its 1 GiB, byte for byte"
done
after=$(peak)
[ $((after - before)) -lt 1024 ]
ok "they cost less than 1 MiB of memory ($before KiB before, $after KiB at most)"

head -c 700000000 "$site/large" >"$dir/resumed"
curl -q -sS --max-time 60 -C - -o "$dir/resumed" "$url/large"
cmp -s "$dir/resumed" "$site/large"
ok "a download of 1 GiB is resumed"
rm "$dir/resumed"
is "what lies behind 6 GiB is found from the front" behind "$(ask -r 6442450944- "$url/sparse")"
is "and from the end" behind "$(ask -r -7 "$url/sparse")"
is "its length is told" 6442450951 \
    "$(ask -I "$url/sparse" | tr -d '\r' | sed -n 's/^Content-Length: //p')"
end TERM "$started"
is "SIGTERM ends it with status 0" 0 $?
done_testing
