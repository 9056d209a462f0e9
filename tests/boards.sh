#!/usr/bin/env bash
# The firmware of examples/firmware in an emulator of its board: curl and tests/boards/check.py ask
# it through a forwarded port, then it ends with its own verdict. Prints TAP.
#
#   tests/boards.sh [PART...]     only these: lm3s6965evb mps2-an385 freertos
#
# Compilers and emulator come from packages, lwIP and mbedTLS from source packages
# (tests/boards/sources.sh). Everything is built below build/boards.
. "$(dirname "$0")/script.sh"
. tests/boards/sources.sh

for tool in arm-none-eabi-gcc qemu-system-arm make curl python3 openssl apt-get dpkg-source; do
    command -v $tool >/dev/null || skip_all "no $tool"
done
fetch_sources || skip_all "the sources of lwIP and mbedTLS cannot be fetched"
out=$root/build/boards
mkdir -p "$out"
parts=${*:-lm3s6965evb mps2-an385 freertos}

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
    qemu-system-arm -M "$1" -kernel "$out/$name/firmware.elf" -display none -monitor none \
        -serial stdio -semihosting-config enable=on,target=native \
        -nic "user,restrict=on,hostfwd=tcp:127.0.0.1:$port-:80,hostfwd=tcp:127.0.0.1:$secure_port-:443" \
        >"$out/$name.uart" 2>"$out/$name.qemu" </dev/null &
    board=$!
    started+=("$board")
    await "$out/$name.uart" '^listening'
    ok "$name boots"
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
    check "$name" "$port" --image "$out/$name/firmware.bin" --limit 90 --apart 0.005
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
        --image "$out/$name/firmware.bin" --bytes 262144 --limit 90 --crowd 8 --apart 0.005
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

# --- the run: what is asked mostly waits, so all parts are asked at once -------------------------

for part in $parts; do
    arguments="BOARD=$part"
    case $part in
    mps2-an385) arguments="$arguments MBEDTLS=$mbedtls" ;;
    freertos)
        [ -n "${FREERTOS_KERNEL:-}" ] || { compile_freertos; continue; }
        arguments="BOARD=mps2-an385 FREERTOS_KERNEL=$FREERTOS_KERNEL" ;;
    esac
    # shellcheck disable=SC2086
    build_firmware "$part" $arguments
    ok "$part builds without a warning" && in_background "part_${part//-/_}"
done
for part in "${running[@]}"; do
    wait "${children[0]}"
    children=("${children[@]:1}")
    cat "$out/$part.tap"
    sed 's/^/# /' "$out/$part.err"
done
done_testing
