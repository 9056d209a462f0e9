#!/usr/bin/env bash
# The firmware of examples/firmware in an emulator of its board: curl and tests/boards/check.py ask
# it through a forwarded port, then it ends with its own verdict. And its site on lwIP for the
# host: in one process, and over TAP, where packets get lost and memory runs out. Prints TAP.
#
#   tests/platform/boards.sh [PART...]     only these: lm3s6965evb mps2-an385 freertos lwip
#
# SOAK_SECONDS (30) is how long each board is asked everything at once, by more clients than it has slots.
#
# Compilers and emulator come from packages, lwIP and mbedTLS from source packages
# (tests/boards/sources.sh). Everything is built below build/boards.
. "$(dirname "$0")/../script.sh"
. tests/boards/sources.sh

for tool in arm-none-eabi-gcc qemu-system-arm make curl python3 openssl apt-get dpkg-source; do
    command -v $tool >/dev/null || skip_all "no $tool"
done
fetch_sources || skip_all "the sources of lwIP and mbedTLS cannot be fetched"
out=$root/build/boards
mkdir -p "$out"
soak=${SOAK_SECONDS:-30}
parts=${*:-lwip mps2-an385 lm3s6965evb freertos}

# build_firmware NAME ARGUMENT...: builds build/boards/NAME/firmware.elf and .bin
build_firmware() {
    local name=$1
    shift
    make -s -C examples/firmware -j "$(getconf _NPROCESSORS_ONLN)" LWIP="$lwip22" \
        OUT="$out/$name" "$@" "$out/$name/firmware.bin" >"$out/$name.log" 2>&1 &&
        ! grep -q 'warning:' "$out/$name.log" && return
    sed 's/^/# /' "$out/$name.log"
    false
}

free_port() {
    python3 -c 'import socket
s = socket.socket()
s.bind(("127.0.0.1", 0))
print(s.getsockname()[1])'
}

# boot MACHINE: starts $name on it as $board; it is asked at $port and $url (plain) and $secure_port
boot() {
    port=$(free_port)
    secure_port=$(free_port)
    url=http://127.0.0.1:$port
    timeout $((900 + ${soak%.*})) qemu-system-arm -M "$1" -kernel "$out/$name/firmware.elf" -display none -monitor none \
        -serial stdio -semihosting-config enable=on,target=native \
        -nic "user,restrict=on,hostfwd=tcp:127.0.0.1:$port-:80,hostfwd=tcp:127.0.0.1:$secure_port-:443" \
        >"$out/$name.uart" 2>"$out/$name.qemu" </dev/null &
    board=$!
    started+=("$board")
    await "$out/$name.uart" '^listening'
    local status=$?
    is "$name boots" 0 $status
    return $status
}

# check WORDS PORT ARGUMENT...: all that check.py asks
check() {
    local words=$1 log status
    log=$out/${1// /-}.check
    shift
    python3 tests/boards/check.py 127.0.0.1 "$@" >"$log" 2>&1
    status=$?
    sed "s/^\(ok\|not ok\) \([0-9]*\) -/\1 \2 - $words:/" "$log"
    [ $status -eq 0 ] && grep -q '^1\.\.' "$log"
    ok "$words: everything asked is answered"
}

# verdict: tells $name to end; the emulator's status is what the firmware says of itself
verdict() {
    is "$name is told to restart" "restarting" "$(ask -X POST "$url/api/restart")"
    end 0 "$board"
    is "$name ends with its own verdict" "0, 0 bad" "$?, $(tail -n 1 "$out/$name.uart")"
    sed "s/^/# $name: /" "$out/$name.uart"
    arm-none-eabi-size "$out/$name/firmware.elf" |
        awk -v name="$name" 'NR > 1 { print "# " name ": text " $1 ", data " $2 ", bss " $3 " bytes" }'
}

# in_background FUNCTION: a part of its own; what it prints is kept for the end
in_background() {
    (
        number=0
        failures=0
        started=()
        trap 'kill "${started[@]}" 2>/dev/null' EXIT
        trap 'exit 130' INT TERM
        "$1"
        echo "1..$number"
        [ $failures -eq 0 ]
    ) >"$out/${1#part_}.tap" 2>"$out/${1#part_}.err" &
    children+=($!)
    running+=("${1#part_}")
}
running=()

# --- lm3s6965evb: Cortex-M3, 256 KiB of flash, 64 KiB of RAM: HTTP -----------------------------

part_lm3s6965evb() {
    local name=lm3s6965evb
    boot lm3s6965evb || return
    seq 200 | sed "s|.*|url = $url/api/led|" >"$dir/urls"
    is "$name: 200 requests of curl" "200 {\"on\":false}" \
        "$(ask -K "$dir/urls" | sed 's/}/}\n/g' | sort | uniq -c | sed 's/^ *//')"
    head -c 1048576 /dev/urandom >"$dir/update"
    is "$name: 1 MiB uploaded by curl" '{"bytes":1048576' \
        "$(ask -T "$dir/update" "$url/firmware" | cut -d , -f 1)"
    check "$name" "$port" --image "$out/$name/firmware.bin" --limit 90 --apart 0.005 \
        --soak "$soak"
    is "$name answers again" '{"on":false}' "$(ask "$url/api/led")"
    verdict
}

# --- mps2-an385: Cortex-M3: HTTPS -------------------------------------------------------------

part_mps2_an385() {
    local name=mps2-an385
    boot mps2-an385 || return
    is "$name: curl over TLS" '{"on":false}' \
        "$(ask --cacert "$out/$name/certificate.pem" "https://127.0.0.1:$secure_port/api/led")"
    check "$name over TLS" "$secure_port" --tls "$out/$name/certificate.pem" \
        --image "$out/$name/firmware.bin" --bytes 262144 --limit 90 --crowd 8 --apart 0.005 \
        --soak "$soak"
    is "$name answers again" '{"on":false}' "$(ask "$url/api/led")"
    verdict
}

# --- FreeRTOS on mps2-an385: where there is the kernel ------------------------------------------

part_freertos() {
    local name=freertos
    boot mps2-an385 || return
    check "$name" "$port" --image "$out/$name/firmware.bin" --limit 90 --apart 0.005
    verdict
}

# Without it, what is ours is compiled against the interface that FreeRTOS documents.
compile_freertos() {
    make -s -C examples/firmware LWIP="$lwip22" OUT="$out/freertos-stubs" BOARD=mps2-an385 \
        FREERTOS_KERNEL="$root/tests/boards/stubs/freertos" \
        "$out/freertos-stubs/own/"{main,board,server}.o >"$out/freertos-stubs.log" 2>&1 &&
        ! grep 'warning:' "$out/freertos-stubs.log"
    ok "freertos: compiles against stub headers"
    echo "ok - freertos: runs # SKIP FREERTOS_KERNEL names no source tree of the kernel"
}

# --- lwIP on the host: what the boards cannot do ------------------------------------------------

# build_lwip NAME LWIP FLAG...: builds build/boards/NAME/loop and tap; the unix port is 2.2's
build_lwip() {
    local name=$1 lwip=$2
    shift 2
    tests/boards/lwip/build.sh "$lwip" "$lwip22/contrib/ports/unix/port" "$out/$name" "$@" \
        >"$out/$name.log" 2>&1
    is "$name builds" 0 $?
    sed 's/^/# /' "$out/$name.log"
}

# part_tap NAME WORDS "LOST [HOG [BACKLOG]]" ARGUMENT...: a network namespace of its own, whose only device is
# lwIP's; check.py asks from within
part_tap() {
    local name=$1 words=$2 space=uhttp-$1-$$
    ip netns add "$space" || return
    started=()
    trap 'kill "${started[@]}" 2>/dev/null; ip netns del "'"$space"'"' EXIT
    inside="ip netns exec $space"
    $inside ip tuntap add dev tap0 mode tap && $inside ip addr add 192.0.2.1/24 dev tap0 &&
        $inside ip link set tap0 up
    ok "$words: a network of its own"
    # shellcheck disable=SC2086
    PRECONFIGURED_TAPIF=tap0 $inside timeout 900 "$out/lwip-own/tap" $3 >"$out/$name.out" 2>"$out/$name.said" &
    board=$!
    started+=("$board")
    await "$out/$name.out" '^listening'
    ok "$words: it listens"
    $inside python3 tests/boards/check.py 192.0.2.2 80 "${@:4}" >"$out/$name.check" 2>&1
    status=$?
    sed "s/^\(ok\|not ok\) \([0-9]*\) -/\1 \2 - $words:/" "$out/$name.check"
    [ $status -eq 0 ] && grep -q '^1\.\.' "$out/$name.check"
    ok "$words: everything asked is answered"
    if [ "$3" = 0 ] && command -v wrk >/dev/null; then
        $inside wrk -t 1 -c 3 -d 3 http://192.0.2.2/api/led >"$out/$name.wrk" 2>&1
        grep -q 'Requests/sec' "$out/$name.wrk" && ! grep -q -E 'Socket errors|Non-2xx' "$out/$name.wrk"
        ok "$words: wrk, three connections"
        sed 's/^/# /' "$out/$name.wrk"
    fi
    $inside curl -q -s --max-time 60 -X POST http://192.0.2.2/api/restart >/dev/null
    for _ in $(seq 60); do
        kill -0 "$board" 2>/dev/null || break
        sleep 0.5
    done
    kill -TERM "$board" 2>/dev/null     # one that does not end
    wait "$board"
    is "$words: it ends with its own verdict" "0, 0 bad" "$?, $(tail -n 1 "$out/$name.out")"
    sed 's/^/# /' "$out/$name.out"
}

part_tap_clean() { part_tap tap-clean "TAP" "0" --limit 60; }
part_tap_backlog() { part_tap tap-backlog "TAP, two wait in the backlog" "0 0 0" --limit 60; }
# A client whose first bytes are lost may give way to a newcomer, and comes again.
part_tap_hog() { part_tap tap-hog "TAP, memory taken away" "0 1" --limit 60 --tries 2; }
part_tap_5() {
    part_tap tap-5 "TAP, 5 % lost" 50 --bytes 50000 --requests 40 --tries 3 --limit 60 --crowd 8
}
part_tap_15() {
    part_tap tap-15 "TAP, 15 % lost" 150 --bytes 10000 --requests 12 --tries 3 --limit 60 --crowd 6
}

has_namespaces() {
    [ -c /dev/net/tun ] && ip netns add "uhttp-probe-$$" 2>/dev/null && ip netns del "uhttp-probe-$$"
}

part_loop() {
    for name in own libc 2.1; do
        timeout 200 "$out/lwip-$name/loop" >"$out/loop-$name.out" 2>&1
        status=$?
        sed "s/^\(ok\|not ok\) \([0-9]*\) -/\1 \2 - lwIP, $name:/; /^1\.\./d" "$out/loop-$name.out"
        [ $name = libc ] && asked=21 || asked=12        # files and the clock, too
        is "lwIP, $name: ends well" "0 1..$asked" "$status $(tail -n 1 "$out/loop-$name.out")"
    done
}

run_lwip() {
    local sanitize="-fsanitize=address,undefined -fno-sanitize-recover=all -fno-sanitize=alignment"
    # shellcheck disable=SC2086
    {
        build_lwip lwip-own "$lwip22" $sanitize
        if has_namespaces; then
            for name in 5 15 hog clean backlog; do
                in_background part_tap_$name
            done
        else
            echo "ok - lwIP over TAP # SKIP no network namespaces or no TAP devices here"
        fi
        # as ESP-IDF has it, with its files and clock
        build_lwip lwip-libc "$lwip22" $sanitize -DLIBC_FD_SET -DESP_PLATFORM -D_XOPEN_SOURCE=700 \
            -Wl,--wrap=rename,--wrap=fsync
        build_lwip lwip-2.1 "$lwip21"
    }
    in_background part_loop
    compile_esp_idf
    compile_cpus
}

# ESP-IDF: its example against stub headers, and lwIP 2.1 in the arrangement ESP-IDF has it in.
compile_esp_idf() {
    gcc -std=gnu17 -Wall -Wextra -Wshadow -Wundef -Werror -DESP_PLATFORM -DLIBC_FD_SET \
        -I tests/boards/stubs/esp-idf -I tests/boards/lwip -I examples/firmware \
        -isystem "$lwip21/src/include" -isystem "$lwip22/contrib/ports/unix/port/include" \
        -I . -c examples/esp-idf/main/main.c -o "$out/esp-idf.o" 2>"$out/esp-idf.log"
    is "the example for ESP-IDF compiles against stub headers" 0 $?
    sed 's/^/# /' "$out/esp-idf.log"
}

# Cortex-M0+, M3, M4, M33 and C++ against the headers of 2.1 and 2.2, with every warning.
compile_cpus() {
    local cpu lwip compiler strict="-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion
        -Wundef -Werror"
    printf '#define UHTTP_IMPLEMENTATION\n#include "uhttp_server.h"\n' >"$out/impl.c"
    for cpu in cortex-m0plus cortex-m3 cortex-m4 cortex-m33; do
        for lwip in "$lwip21" "$lwip22"; do
            for compiler in "gcc -std=c99 -Wstrict-prototypes" "gcc -std=c99 -Wstrict-prototypes
                -DLWIP_IPV6=1 -DUHTTP_NO_HEAP" "g++ -x c++ -std=c++11 -fno-exceptions -fno-rtti"; do
                echo "arm-none-eabi-$compiler -mcpu=$cpu -mthumb $strict -DUHTTP_LWIP" \
                    "-DTHREADS_COOPERATE -I examples/firmware -I examples/firmware/bare" \
                    "-isystem $lwip/src/include -I . -fsyntax-only $out/impl.c"
            done
        done
    done | tr '\n' ' ' | sed 's/arm-none-eabi-g/\n&/g' | sed '/^ *$/d' >"$out/cpus.list"
    xargs -P "$(getconf _NPROCESSORS_ONLN)" -d '\n' -n 1 sh -c '$0' <"$out/cpus.list" >"$out/cpus.log" 2>&1
    is "compiles for M0+, M3, M4, M33, in C and C++, with lwIP 2.1 and 2.2" "0 24" \
        "$? $(grep -c . "$out/cpus.list")"
    sed 's/^/# /' "$out/cpus.log"
}

# --- the run: what is asked mostly waits, so all parts are asked at once -------------------------

for part in $parts; do
    arguments="BOARD=$part"
    case $part in
    mps2-an385) arguments="$arguments MBEDTLS=$mbedtls" ;;
    lwip)
        run_lwip
        continue ;;
    freertos)
        [ -n "${FREERTOS_KERNEL:-}" ] || { compile_freertos; continue; }
        arguments="BOARD=mps2-an385 FREERTOS_KERNEL=$FREERTOS_KERNEL" ;;
    esac
    # shellcheck disable=SC2086
    build_firmware "$part" $arguments
    built=$?
    is "$part builds without a warning" 0 $built
    [ $built -ne 0 ] || in_background "part_${part//-/_}"
done
for part in "${running[@]}"; do
    wait "${children[0]}"
    children=("${children[@]:1}")
    cat "$out/$part.tap"
    sed 's/^/# /' "$out/$part.err"
done
done_testing
