#!/bin/bash
# examples/ota.c: images raw and in a form, whole, wrong and broken off; with CRC-32, and with SHA-256
# where mbedTLS is installed
. "$(dirname "$0")/../script.sh"

flash=$dir/flash.bin
head -c 6000000 /dev/urandom >"$dir/image"
head -c 100000 /dev/urandom >"$dir/other"
printf 123456789 >"$dir/check"
printf old >"$flash"

# crc32 FILE: gzip keeps it, lowest byte first, behind the compressed bytes
crc32() {
    gzip -c "$1" | tail -c 8 | head -c 4 | od -An -tx1 | awk '{ print $4 $3 $2 $1 }'
}

# test_with SUM COMMAND: an ota that says that sum, and the command that tells a file's
test_with() {
    local sum
    start ota 0 "$flash"
    is "$1: the page has a form" "1" "$(ask "$url/" | grep -c 'enctype=multipart/form-data')"

    sum=$($2 "$dir/image")
    is "$1: a raw image" "installed 6000000 bytes, $1 $sum" \
        "$(ask -T "$dir/image" "$url/firmware")"
    cmp -s "$dir/image" "$flash"
    ok "$1: is installed"
    is "$1: a small one" "installed 9 bytes, $1 $($2 "$dir/check")" \
        "$(ask -T "$dir/check" "$url/firmware")"
    is "$1: chunked, with the right sum" "installed 6000000 bytes, $1 $sum" \
        "$(ask -T - "$url/firmware?$1=$sum" <"$dir/image")"
    is "$1: in a form" "installed 6000000 bytes, $1 $sum" \
        "$(ask -F note=x -F "image=@$dir/image" "$url/firmware")"
    cmp -s "$dir/image" "$flash"
    ok "$1: is installed"

    is "$1: another sum: 422" 422 "$(status -T "$dir/other" "$url/firmware?$1=$sum")"
    is "$1: and it says which" "not installed: $1 is $($2 "$dir/other")" "$(cat "$dir/out")"
    is "$1: half a sum: 400" 400 "$(status -T "$dir/other" "$url/firmware?$1=12")"
    is "$1: no form: 415" 415 "$(status -d x "$url/firmware")"
    is "$1: a form without a file: 400" 400 "$(status -F a=b "$url/firmware")"
    is "$1: no image: 400" 400 "$(status -T /dev/null "$url/firmware")"
    is "$1: another method: 405" 405 "$(status "$url/firmware")"
    is "$1: another path: 404" 404 "$(status "$url/software")"
    is "$1: too large: 413" 413 \
        "$(head -c 17000000 /dev/zero >"$dir/large"; status -T "$dir/large" "$url/firmware")"
    is "$1: too large, chunked: 413" 413 "$(status -T - "$url/firmware" <"$dir/large")"
    is "$1: too large, in a form: 413" 413 "$(status -F "i=@$dir/large" "$url/firmware")"

    # one that breaks off
    exec 8<>"/dev/tcp/127.0.0.1/$port"
    { printf 'PUT /firmware HTTP/1.1\r\nHost: a\r\nContent-Length: 6000000\r\n\r\n'
      head -c 500000 /dev/zero; } >&8
    for _ in $(seq 100); do
        [ -s "$flash.new" ] && break
        sleep 0.05
    done
    is "$1: one at a time: 503" 503 "$(status -T "$dir/other" "$url/firmware")"
    exec 8>&-
    for _ in $(seq 100); do
        [ -e "$flash.new" ] || break
        sleep 0.05
    done
    [ ! -e "$flash.new" ]
    ok "$1: one that breaks off is dropped"
    cmp -s "$dir/image" "$flash"
    ok "$1: after all of this the old image is there"
    is "$1: and the next one is taken" "installed 100000 bytes, $1 $($2 "$dir/other")" \
        "$(ask -T "$dir/other" "$url/firmware")"
    end TERM "$started"
    is "$1: SIGTERM ends it with status 0" 0 $?
}

build ota
test_with crc32 crc32
"$dir/ota" >"$dir/out" 2>"$dir/err"
is "it explains its arguments" 2 $?

is "no such directory: it says so" "cannot write $dir/nowhere/flash.new: No such file or directory" \
    "$(timeout 10 "$dir/ota" 0 "$dir/nowhere/flash" 2>&1)"
is "with status 1" 1 "$(timeout 10 "$dir/ota" 0 "$dir/nowhere/flash" 2>/dev/null; echo $?)"

if echo '#include <mbedtls/md.h>' | "$cc" -E - >/dev/null 2>&1; then
    sha256() { sha256sum "$1" | cut -d ' ' -f 1; }
    build ota -DUHTTP_TLS -lmbedtls -lmbedx509 -lmbedcrypto
    test_with sha256 sha256
else
    number=$((number + 1))
    echo "ok $number - SHA-256 # SKIP no mbedtls/md.h"
fi
done_testing
