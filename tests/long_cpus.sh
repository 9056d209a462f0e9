#!/usr/bin/env bash
# Other processors, in an emulator: big-endian in 64 and 32 bits, 32 bits where an unaligned
# access is an error (mips), and where char is unsigned. Prints TAP.
#
# Compilers and qemu-user come from packages; cmocka, which is there for none of these, is one C
# file and is built from the system's source package, fetched into build/ by an apt of its own.
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

# The other machine's package lists stay untouched.
fetch_cmocka() {
    ls $out/cmocka/cmocka-*/src/cmocka.c >/dev/null 2>&1 && return
    command -v apt-get >/dev/null || return
    local apt=$root/$out/apt release uri key
    # shellcheck source=/dev/null
    release=$(. /etc/os-release && echo "$VERSION_CODENAME")
    uri=$(apt-get indextargets --format "\$(REPO_URI)" "Codename: $release" | head -n 1)
    key=$(dpkg -L debian-archive-keyring 2>/dev/null | grep '/debian-archive-keyring\.gpg$')
    mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" $out/cmocka
    : >"$apt/status"
    echo "deb-src ${key:+[signed-by=$key]} $uri $release main" >"$apt/sources.list"
    (
        cd $out/cmocka || exit
        apt="-qq -o Dir::Etc::sourcelist=$apt/sources.list -o Dir::Etc::sourceparts=-
             -o Dir::State::lists=$apt/lists -o Dir::State::status=$apt/status
             -o Dir::Cache=$apt/cache -o APT::Sandbox::User=root"
        # shellcheck disable=SC2086
        apt-get $apt update && apt-get $apt source --download-only cmocka && tar xf cmocka_*.orig.tar.?z
    ) >$out/fetch.log 2>&1
    rm -rf "$apt"
    ls $out/cmocka/cmocka-*/src/cmocka.c >/dev/null 2>&1
}

for name in inttypes stdint stdio stdlib string strings time unistd setjmp signal sys_time sys_types; do
    echo "#define HAVE_$(echo $name | tr a-z A-Z)_H 1"
done >$out/config.h
cat >>$out/config.h <<'END'
#define HAVE_SNPRINTF 1
#define HAVE_VSNPRINTF 1
#define HAVE_GCC_THREAD_LOCAL_STORAGE 1
#define HAVE_STRUCT_TIMESPEC 1
#define HAVE_CLOCK_GETTIME_REALTIME 1
END

# test_cpu TRIPLET EMULATOR TEST...: builds and runs each, prints TAP without numbers
test_cpu() {
    local triplet=$1 emulator="$2 -L /usr/$1" cmocka name dir=$out/$1 passed failed
    shift 2
    mkdir -p "$dir"
    cmocka=$(echo $out/cmocka/cmocka-*)
    "$triplet-gcc" -O1 -w -DHAVE_CONFIG_H -I $out -I "$cmocka/include" -c "$cmocka/src/cmocka.c" \
        -o "$dir/cmocka.o" || { echo "not ok - $triplet: cmocka builds"; return; }
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
