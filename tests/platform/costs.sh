#!/bin/sh
# What the server costs a microcontroller, as the tables of the README: code by processor and
# switch (text and rodata of the implementing object with nothing unused in it, libc not counted),
# RAM by slots and buffers; with boards that have been run (tests/platform/boards.sh) also stacks and TLS's
# heap, as they printed them.
#
#   tests/platform/costs.sh
set -u

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
out=$root/build/costs
lwip=${LWIP_INCLUDE:-/usr/include/lwip}
rm -rf "$out"
mkdir -p "$out"

all="-DUHTTP_NO_FILES -DUHTTP_NO_WEBSOCKET -DUHTTP_NO_JSON -DUHTTP_NO_MULTIPART -DUHTTP_NO_LOG
     -DUHTTP_NO_HEAP"

# bytes CPU PROGRAM FLAG...: of the object that implements; prints text + rodata
bytes() {
    cpu=$1 program=$2
    shift 2
    arm-none-eabi-gcc -mcpu="$cpu" -mthumb -std=c99 -Os -ffunction-sections -fdata-sections \
        -I "$root" -I "$here" -isystem "$lwip" -DUHTTP_LWIP "$@" -c "$program" -o "$out/o.o" &&
        arm-none-eabi-size -A "$out/o.o" |
        awk '/^\.(text|rodata)/ { sum += $2 } END { print sum + 0 }'
}

# linked CPU FLAG...: the smallest program, everything it does not use dropped
linked() {
    cpu=$1
    shift
    for source in hello_m4 board_m4; do
        arm-none-eabi-gcc -mcpu="$cpu" -mthumb -std=c99 -Os -ffunction-sections -fdata-sections \
            -I "$root" -I "$here" -isystem "$lwip" -DUHTTP_LWIP "$@" -c "$here/$source.c" \
            -o "$out/$source.o" || return
    done
    arm-none-eabi-gcc -mcpu="$cpu" -mthumb --specs=nano.specs --specs=nosys.specs -nostartfiles \
        -Wl,--gc-sections -Wl,-Map,"$out/map" -T "$here/board_m4.ld" "$out/hello_m4.o" \
        "$out/board_m4.o" -o "$out/elf" 2>/dev/null || return
    # in a map, a section's name stands before its address, or alone on the line above
    awk '
        function number(text,    value, i) {
            value = 0
            for (i = 3; i <= length(text); i++)
                value = value * 16 + index("0123456789abcdef", substr(text, i, 1)) - 1
            return value
        }
        /^Linker script and memory map/ { map = 1 }
        map && NF == 1 { section = $1 }
        map && /hello_m4\.o$/ && $(NF - 1) ~ /^0x/ {
            if (NF == 4)
                section = $1
            if (section ~ /^\.(text|rodata)/)
                sum += number($(NF - 1))
        }
        END { print sum + 0 }' "$out/map"
}

row() {
    name=$1
    shift
    printf '| %s |' "$name"
    for cpu in cortex-m0plus cortex-m3 cortex-m4; do
        printf ' %s |' "$("$@" $cpu)"
    done
    echo
}

# shellcheck disable=SC2086,SC2317,SC2329  # several flags in one variable; called by name
smallest() { linked "$1" $all -DUHTTP_STATIC; }
# shellcheck disable=SC2317,SC2329
hello() { linked "$1" -DUHTTP_STATIC -DUHTTP_NO_HEAP; }
# shellcheck disable=SC2317,SC2329
everything() {
    [ -s "$out/$1" ] || bytes "$1" "$out/impl.c" >"$out/$1"
    cat "$out/$1"
}
# shellcheck disable=SC2317,SC2329
without() {
    echo $(($(everything "$2") - $(bytes "$2" "$out/impl.c" "-D$1")))
}

printf '#define UHTTP_IMPLEMENTATION\n#include "uhttp_server.h"\n' >"$out/impl.c"
if command -v arm-none-eabi-gcc >/dev/null && [ -f "$lwip/lwip/sockets.h" ]; then
    echo "| code, bytes | Cortex-M0+ | M3 | M4 |"
    echo "|---|---:|---:|---:|"
    row "smallest hello, every \`UHTTP_NO_*\`" smallest
    row "hello in fixed memory, all features built" hello
    row "every function of the header" everything
    for switch in UHTTP_NO_FILES UHTTP_NO_WEBSOCKET UHTTP_NO_JSON UHTTP_NO_MULTIPART UHTTP_NO_LOG \
        UHTTP_NO_HEAP; do
        row "saved by \`$switch\`" without $switch
    done
    echo
    cat >"$out/ram.c" <<'END'
#include "uhttp_server.h"
unsigned char ram_5_1024[UHTTP_MEMORY_SIZE(5, 1024)];
unsigned char ram_4_1024[UHTTP_MEMORY_SIZE(4, 1024)];
unsigned char ram_5_2048[UHTTP_MEMORY_SIZE(5, 2048)];
unsigned char ram_2_512[UHTTP_MEMORY_SIZE(2, 512)];
unsigned char base[UHTTP_MEMORY_BASE];
unsigned char slot[UHTTP_MEMORY_SLOT];
END
    arm-none-eabi-gcc -mcpu=cortex-m3 -mthumb -I "$root" -c "$out/ram.c" -o "$out/ram.o"
    echo "| RAM, bytes | |"
    echo "|---|---:|"
    arm-none-eabi-nm -S --radix=d "$out/ram.o" | awk '
        { size[$4] = $2 + 0 }
        END {
            print "| the server | " size["base"] " |"
            print "| each slot, besides its two buffers | " size["slot"] " |"
            print "| 2 slots with buffers of 512 bytes | " size["ram_2_512"] " |"
            print "| 4 slots with buffers of 1 KiB | " size["ram_4_1024"] " |"
            print "| 5 slots with buffers of 1 KiB | " size["ram_5_1024"] " |"
            print "| 5 slots with buffers of 2 KiB | " size["ram_5_2048"] " |"
        }'
else
    echo "no arm-none-eabi-gcc, or no headers of lwIP in $lwip"
fi
for uart in "$root"/build/boards/*.uart; do
    [ -f "$uart" ] || continue
    [ -n "${measured:-}" ] || printf '\n| measured on an emulated board | |\n|---|---:|\n'
    measured=yes
    board=$(basename "$uart" .uart)
    for value in "stack_server|stack of the server's thread" "stack_tcpip|stack of lwIP's thread" \
        "lwip_heap_most|lwIP's heap" "tls_heap_most|mbedTLS's heap"; do
        number=$(sed -n "s/.*\"${value%%|*}\":\([0-9]*\).*/\1/p" "$uart" | tail -n 1)
        [ -z "$number" ] || echo "| $board: ${value#*|} | $number |"
    done
done
