#!/bin/bash
# Uploads of 1 GiB by curl, of all kinds, into both kinds of memory: what came is what was sent, and the
# server held none of it. The file has holes, so it takes 32 MiB of the disk.
. "$(dirname "$0")/../script.sh"

command -v curl >/dev/null || skip_all "no curl"
command -v sha256sum >/dev/null || skip_all "no sha256sum"

"$cc" -O2 -Wall -Wextra -o "$dir/upload_server" tests/clients/upload_server.c >"$dir/log" 2>&1 ||
    bail_out "tests/clients/upload_server.c builds"
truncate -s 1G "$dir/file" || skip_all "no file with holes"
for at in 0 3 17 255 511 777 900 1020; do
    head -c 4194304 /dev/urandom |
        dd of="$dir/file" bs=1M seek=$at conv=notrunc iflag=fullblock status=none
done
sum=$(sha256sum <"$dir/file" | cut -d ' ' -f 1)
truncate -s 100000 "$dir/small"
cd "$dir" || exit 2

# peak: the most memory the server has held so far, in KiB; nothing where /proc does not say
peak() {
    awk '/^VmHWM/ { print $2 }' "/proc/$started/status" 2>/dev/null
}

for memory in heap fixed; do
    start upload_server $memory
    # what is needed once is there before it is measured
    ask -F "file=@small" "$url/form" >"$dir/out"
    ask -H 'Transfer-Encoding: chunked' -T small "$url/raw" >"$dir/out"
    before=$(peak)
    is "$memory: a length" "$sum" "$(ask -T file "$url/raw")"
    is "$memory: chunked" "$sum" "$(ask -T - "$url/raw" <file)"
    is "$memory: a form" "$sum" "$(ask -F note=x -F file=@file "$url/form")"
    is "$memory: a form in chunks, without Expect" "$sum" \
        "$(ask -H Expect: -H 'Transfer-Encoding: chunked' -F file=@file "$url/form")"
    is "$memory: HTTP/1.0" "$sum" "$(ask -0 -T file "$url/raw")"
    if [ $memory = heap ]; then
        is "$memory: a length, without Expect" "$sum" "$(ask -H Expect: -T file "$url/raw")"
        is "$memory: a length, with Expect" "$sum" \
            "$(ask -H 'Expect: 100-continue' -T file "$url/raw")"
        is "$memory: chunked, without Expect" "$sum" "$(ask -H Expect: -T - "$url/raw" <file)"
        is "$memory: a form, without Expect" "$sum" "$(ask -H Expect: -F file=@file "$url/form")"
        is "$memory: a form in HTTP/1.0" "$sum" "$(ask -0 -F file=@file "$url/form")"
    fi
    after=$(peak)
    if [ -n "$after" ]; then
        [ $((after - before)) -lt 256 ]
        ok "$memory: the peak of memory has grown by $((after - before)) KiB, of $before"
    fi
    echo >&9
    end 0 "$started"
    is "$memory: the server ends in order" 0 $?
done
done_testing
