#!/usr/bin/env bash
# Other processors, in an emulator: big-endian in 64 and 32 bits, 32 bits where an unaligned
# access is an error (mips), and where char is unsigned; HTTPS on one little- and one big-endian.
# Then, without an emulator, other C libraries and compilers. Prints TAP.
#
# Compilers and qemu-user come from packages, cmocka from its source (tests/platform/cmocka_source.sh), the
# mbedTLS of other processors from packages that are unpacked into build/.
. "$(dirname "$0")/../script.sh"
out=build/cpus
mkdir -p $out

. tests/platform/cmocka_source.sh

# test_cpu TRIPLET EMULATOR TEST...: builds and runs each, prints TAP without numbers
test_cpu() {
    local triplet=$1 emulator="$2 -L /usr/$1" name dir=$out/$1 status passed failed
    shift 2
    mkdir -p "$dir"
    build_cmocka "$triplet-gcc -O1" "$dir/cmocka.o" ||
        { echo "not ok - $triplet: cmocka builds"; return; }
    for name in "$@"; do
        if ! "$triplet-gcc" -std=gnu11 -O1 -Wall -Wextra -Werror -pthread -I "$cmocka/include" \
                $room_flags tests/*/"$name.c" "$dir/cmocka.o" -o "$dir/$name" -lm \
                >"$dir/$name.log" 2>&1; then
            echo "not ok - $triplet: $name builds"
            tail -n 20 "$dir/$name.log" | sed 's/^/# /'
            continue
        fi
        # shellcheck disable=SC2086
        CMOCKA_MESSAGE_OUTPUT=TAP MACHINE_RUNS=1000 timeout 600 $emulator "$dir/$name" \
            >"$dir/$name.log" 2>&1
        status=$?
        passed=$(tap_passed "$dir/$name.log")
        failed=$(tap_failed "$dir/$name.log")
        if [ $status -eq 0 ] && [ "$passed" -gt 0 ] && [ "$failed" -eq 0 ]; then
            echo "ok - $triplet: $name, $passed tests"
        else
            echo "not ok - $triplet: $name, status $status, $passed passed, $failed failed"
            grep -v '^ok' "$dir/$name.log" | tail -n 30 | sed 's/^/# /'
        fi
    done
    by_script "$triplet" curl.sh 40 env CC="$triplet-gcc -O1" RUN="$emulator"
}

# by_script NAME SCRIPT TESTS COMMAND...: all of that script, which has more than so many tests
by_script() {
    local name=$1 script=$2 least=$3 log=$out/$1-$2.log status passed
    shift 3
    "$@" "tests/clients/$script" >"$log" 2>&1
    status=$?
    passed=$(tap_passed "$log")
    if [ $status -eq 0 ] && [ "$passed" -gt "$least" ]; then
        echo "ok - $name: $script, $passed tests"
    else
        echo "not ok - $name: $script, status $status"
        grep -v '^ok' "$log" | tail -n 30 | sed 's/^/# /'
    fi
}

# test_tls TRIPLET EMULATOR ARCHITECTURE: HTTPS with that architecture's own mbedTLS, fetched by an
# apt of its own
test_tls() {
    local triplet=$1 emulator="$2 -L /usr/$1" dir=$root/$out/$1/tls uri key apt
    local unpacked=$dir/unpacked
    if [ ! -f "$unpacked/usr/lib/$triplet/libmbedtls.a" ]; then
        apt=$dir/apt
        uri=$(apt-get indextargets --format "\$(REPO_URI)" "Origin: Debian" "Codename: bookworm" |
            head -n 1)
        key=$(dpkg -L debian-archive-keyring 2>/dev/null | grep '/debian-archive-keyring\.gpg$')
        mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
        : >"$apt/status"
        echo "deb [signed-by=$key] $uri bookworm main" >"$apt/sources.list"
        (
            cd "$dir" || exit
            options="-qq -o APT::Architecture=$3 -o APT::Architectures=$3
                -o Dir::Etc::sourcelist=$apt/sources.list -o Dir::Etc::sourceparts=-
                -o Dir::State::lists=$apt/lists -o Dir::State::status=$apt/status
                -o Dir::Cache=$apt/cache -o APT::Sandbox::User=root"
            # shellcheck disable=SC2086
            apt-get $options update && apt-get $options download libmbedtls-dev &&
                dpkg -x libmbedtls-dev_*.deb unpacked
        ) >"$dir.log" 2>&1
        rm -rf "$apt"
    fi
    if [ ! -f "$unpacked/usr/lib/$triplet/libmbedtls.a" ]; then
        echo "ok - $triplet: HTTPS # SKIP its mbedTLS cannot be fetched"
        return
    fi
    by_script "$triplet" tls.sh 20 env CC="$triplet-gcc" RUN="$emulator" \
        MBEDTLS_CFLAGS="-isystem $unpacked/usr/include" \
        MBEDTLS_LIBS="-L$unpacked/usr/lib/$triplet -Wl,-Bstatic -lmbedtls -lmbedx509 -lmbedcrypto
            -Wl,-Bdynamic"
}

# test_native: the C library and the compiler that small systems have
test_native() {
    by_script musl-static curl.sh 40 env CC="musl-gcc -static -O1" RUN=
    by_script tcc curl.sh 40 env CC="tcc" RUN=
    by_script unsigned-char curl.sh 40 env CC="gcc -O1 -funsigned-char" RUN=
}

for triplet in s390x-linux-gnu mips-linux-gnu arm-linux-gnueabihf aarch64-linux-gnu \
    riscv64-linux-gnu; do
    command -v $triplet-gcc >/dev/null || skip_all "no $triplet-gcc"
done
command -v qemu-s390x >/dev/null || skip_all "no qemu-user"
command -v curl >/dev/null || skip_all "no curl"
fetch_cmocka || skip_all "the source of cmocka cannot be fetched"

texts=$(cd tests/text && ls test_text_*.c | sed 's/\.c$//')
# shellcheck disable=SC2086
{
    {
        test_cpu s390x-linux-gnu qemu-s390x $texts test_request_extras test_machine test_port
        test_tls s390x-linux-gnu qemu-s390x s390x
        test_native
    } >$out/s390x.tap &
    [ "${JOBS:-2}" -gt 1 ] || wait      # something else has the other processor
    {
        test_cpu mips-linux-gnu qemu-mips $texts test_request_extras test_machine test_port
        test_cpu arm-linux-gnueabihf qemu-arm $texts test_request_extras
        test_tls arm-linux-gnueabihf qemu-arm armhf
        test_cpu aarch64-linux-gnu qemu-aarch64 $texts test_request_extras
        test_cpu riscv64-linux-gnu qemu-riscv64 $texts test_request_extras
    } >$out/others.tap
    wait
}
cat $out/s390x.tap $out/others.tap |
    awk '/^ok|^not ok/ { n++; bad += /^not/; sub(/ok -/, "ok " n " -") } { print }
         END { print "1.." n + 0; exit bad > 0 }'
