#!/usr/bin/env bash
# Other processors, in an emulator: big-endian in 64 and 32 bits, 32 bits where an unaligned
# access is an error (mips), and where char is unsigned. Prints TAP.
#
# Compilers and qemu-user come from packages, cmocka from its source: tests/cmocka_source.sh.
set -u
export LC_ALL=C

root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root" || exit 2
out=build/cpus
mkdir -p $out

skip_all() {
    echo "1..0 # SKIP $*"
    exit 0
}

. tests/cmocka_source.sh

# test_cpu TRIPLET EMULATOR TEST...: builds and runs each, prints TAP without numbers
test_cpu() {
    local triplet=$1 emulator="$2 -L /usr/$1" name dir=$out/$1 passed failed
    shift 2
    mkdir -p "$dir"
    build_cmocka "$triplet-gcc -O1" "$dir/cmocka.o" ||
        { echo "not ok - $triplet: cmocka builds"; return; }
    for name in "$@"; do
        if ! "$triplet-gcc" -std=gnu11 -O1 -Wall -Wextra -Werror -pthread -I "$cmocka/include" \
                -I . -I tests "tests/$name.c" "$dir/cmocka.o" -o "$dir/$name" -lm \
                >"$dir/$name.log" 2>&1; then
            echo "not ok - $triplet: $name builds"
            tail -n 20 "$dir/$name.log" | sed 's/^/# /'
            continue
        fi
        # shellcheck disable=SC2086
        CMOCKA_MESSAGE_OUTPUT=TAP timeout 600 $emulator "$dir/$name" >"$dir/$name.log" 2>&1
        status=$?
        passed=$(grep -c '^ok' "$dir/$name.log")
        failed=$(grep -c '^not ok' "$dir/$name.log")
        if [ $status -eq 0 ] && [ "$passed" -gt 0 ] && [ "$failed" -eq 0 ]; then
            echo "ok - $triplet: $name, $passed tests"
        else
            echo "not ok - $triplet: $name, status $status, $passed passed, $failed failed"
            grep -v '^ok' "$dir/$name.log" | tail -n 30 | sed 's/^/# /'
        fi
    done
    CC="$triplet-gcc -O1" RUN=$emulator tests/curl.sh >"$dir/curl.log" 2>&1
    status=$?
    passed=$(grep -c '^ok' "$dir/curl.log")
    if [ $status -eq 0 ] && [ "$passed" -gt 40 ]; then
        echo "ok - $triplet: curl.sh, $passed tests"
    else
        echo "not ok - $triplet: curl.sh, status $status"
        grep -v '^ok' "$dir/curl.log" | tail -n 30 | sed 's/^/# /'
    fi
}

for triplet in s390x-linux-gnu mips-linux-gnu arm-linux-gnueabihf; do
    command -v $triplet-gcc >/dev/null || skip_all "no $triplet-gcc"
done
command -v qemu-s390x >/dev/null || skip_all "no qemu-user"
command -v curl >/dev/null || skip_all "no curl"
fetch_cmocka || skip_all "the source of cmocka cannot be fetched"

texts=$(cd tests && ls test_text_*.c | sed 's/\.c$//')
# shellcheck disable=SC2086
{
    test_cpu s390x-linux-gnu qemu-s390x $texts test_request_extras test_machine >$out/s390x.tap &
    test_cpu mips-linux-gnu qemu-mips $texts test_request_extras test_machine >$out/mips.tap
    test_cpu arm-linux-gnueabihf qemu-arm $texts test_request_extras >$out/arm.tap
    wait
}
cat $out/s390x.tap $out/mips.tap $out/arm.tap |
    awk '/^ok|^not ok/ { n++; bad += /^not/; sub(/ok -/, "ok " n " -") } { print }
         END { print "1.." n + 0; exit bad > 0 }'
