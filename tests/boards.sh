#!/usr/bin/env bash
# The firmware of examples/firmware in an emulator of its board: curl and tests/boards/check.py ask
# it through a forwarded port, then it ends with its own verdict. Prints TAP.
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

# firmware NAME ARGUMENT...: builds build/boards/NAME/firmware.elf and .bin
firmware() {
    local name=$1
    shift
    make -s -C examples/firmware -j "$(getconf _NPROCESSORS_ONLN)" LWIP="$lwip22" \
        OUT="$out/$name" "$@" "$out/$name/firmware.bin" >"$out/$name.log" 2>&1
    ok "$name builds without a warning" && ! grep -q 'warning:' "$out/$name.log" && return
    sed 's/^/# /' "$out/$name.log"
    return 1
}

free_port() {
    python3 -c 'import socket
s = socket.socket()
s.bind(("127.0.0.1", 0))
print(s.getsockname()[1])'
}

# boot NAME MACHINE: starts it as $board; it is asked at $port (plain) and $secure_port
boot() {
    port=$(free_port)
    secure_port=$(free_port)
    qemu-system-arm -M "$2" -kernel "$out/$1/firmware.elf" -display none -monitor none \
        -serial stdio -semihosting-config enable=on,target=native \
        -nic "user,restrict=on,hostfwd=tcp:127.0.0.1:$port-:80,hostfwd=tcp:127.0.0.1:$secure_port-:443" \
        >"$out/$1.uart" 2>"$out/$1.qemu" </dev/null &
    board=$!
    children+=("$board")
    await "$out/$1.uart" '^listening'
    ok "$1 boots"
}

# check NAME PORT ARGUMENT...: all that check.py asks
check() {
    local name=$1 status
    shift
    python3 tests/boards/check.py 127.0.0.1 "$@" >"$out/$name.check" 2>&1
    status=$?
    sed "s/^\(ok\|not ok\) \([0-9]*\) -/\1 \2 - $name:/" "$out/$name.check"
    [ $status -eq 0 ] && grep -q '^1\.\.' "$out/$name.check"
    ok "$name: everything asked is answered"
}

# verdict NAME: tells it to end; the emulator's status is what the firmware says of itself
verdict() {
    is "$1 is told to restart" "restarting" "$(ask -X POST "http://127.0.0.1:$port/api/restart")"
    end 0 "$board"
    is "$1 ends with its own verdict" "0, 0 bad" "$?, $(tail -n 1 "$out/$1.uart")"
    sed "s/^/# $1: /" "$out/$1.uart"
    arm-none-eabi-size "$out/$1/firmware.elf" |
        awk -v name="$1" 'NR > 1 { print "# " name ": text " $1 ", data " $2 ", bss " $3 " bytes" }'
}

# --- lm3s6965evb: Cortex-M3, 256 KiB of flash, 64 KiB of RAM ----------------------------------

if firmware lm3s6965evb BOARD=lm3s6965evb && boot lm3s6965evb lm3s6965evb; then
    url=http://127.0.0.1:$port
    seq 200 | sed "s|.*|url = $url/api/led|" >"$dir/urls"
    is "lm3s6965evb: 200 requests of curl" "200 {\"on\":false}" \
        "$(ask -K "$dir/urls" | sed 's/}/}\n/g' | sort | uniq -c | sed 's/^ *//')"
    head -c 1048576 /dev/urandom >"$dir/update"
    is "lm3s6965evb: 1 MiB uploaded by curl" '{"bytes":1048576' \
        "$(ask -T "$dir/update" "$url/firmware" | cut -d , -f 1)"
    check lm3s6965evb "$port" --image "$out/lm3s6965evb/firmware.bin" --limit 90 --apart 0.005
    is "lm3s6965evb answers again" '{"on":false}' "$(ask "$url/api/led")"
    verdict lm3s6965evb
fi

done_testing
