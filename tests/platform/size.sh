#!/bin/sh
# What the header adds to a Cortex-M4 firmware: the smallest program, linked, everything unused
# dropped; text and rodata of its own object, libc and lwIP not counted. And all of the header,
# with nothing dropped. Prints TAP lines.
#
#   tests/platform/size.sh          checks the ceiling
#   tests/platform/size.sh --list   also prints what the bytes are spent on
set -u

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
out=$root/build/size
lwip=${LWIP_INCLUDE:-/usr/include/lwip}
ceiling=13799
websocket_ceiling=6080
whole_ceiling=60640        # the goal is 57344
list=${1:-}

smallest="-DUHTTP_NO_FILES -DUHTTP_NO_WEBSOCKET -DUHTTP_NO_JSON -DUHTTP_NO_MULTIPART
          -DUHTTP_NO_LOG -DUHTTP_NO_HEAP -DUHTTP_STATIC"

command -v arm-none-eabi-gcc >/dev/null || { echo "1..0 # SKIP no arm-none-eabi-gcc"; exit 0; }
[ -f "$lwip/lwip/sockets.h" ] || { echo "1..0 # SKIP no headers of lwIP in $lwip"; exit 0; }

# link NAME FLAG...: builds the firmware and leaves NAME.elf and NAME.map.
link() {
    name=$1
    shift
    for source in hello_m4 board_m4; do
        arm-none-eabi-gcc -mcpu=cortex-m4 -mthumb -std=c99 -Os -ffunction-sections \
            -fdata-sections -I "$root" -I "$here" -isystem "$lwip" -DUHTTP_LWIP "$@" \
            -c "$here/$source.c" -o "$out/$name.$source.o" || return
    done
    arm-none-eabi-gcc -mcpu=cortex-m4 -mthumb --specs=nano.specs --specs=nosys.specs \
        -nostartfiles -Wl,--gc-sections -Wl,-Map,"$out/$name.map" -T "$here/board_m4.ld" \
        "$out/$name.hello_m4.o" "$out/$name.board_m4.o" -o "$out/$name.elf"
}

# kept MAP PATTERN: bytes of the sections of the program's own object that were linked.
# In a map, a section's name stands before its address, or alone on the line above.
kept() {
    awk -v pattern="$2" '
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
            if (section ~ pattern)
                sum += number($(NF - 1))
        }
        END { print sum + 0 }' "$1"
}

# whole: bytes of the header's object with everything in it, used or not.
whole() {
    arm-none-eabi-gcc -mcpu=cortex-m4 -mthumb -std=c99 -Os -ffunction-sections \
        -fdata-sections -I "$here" -isystem "$lwip" \
        -DUHTTP_LWIP -DUHTTP_IMPLEMENTATION -x c -c "$root/uhttp_server.h" \
        -o "$out/whole.o" 2>"$out/whole.log" &&
        arm-none-eabi-size "$out/whole.o" | awk 'NR == 2 { print $1 }'
}

# report NAME WORDS: the figures of one firmware, as a remark.
report() {
    text=$(kept "$out/$1.map" '^\.text')
    rodata=$(kept "$out/$1.map" '^\.rodata')
    echo "# $2: text $text + rodata $rodata = $((text + rodata)) bytes," \
        "data $(kept "$out/$1.map" '^\.data'), bss $(kept "$out/$1.map" '^\.bss|^COMMON')"
    if [ "$list" = --list ]; then
        arm-none-eabi-nm --size-sort --reverse-sort -S "$out/$1.elf" |
            awk '{ print "#   " $2, $3, $4 }'
    fi
}

mkdir -p "$out"
echo 1..4
status=0

# shellcheck disable=SC2086  # several flags in one variable
if link smallest $smallest 2>"$out/smallest.log"; then
    report smallest "every UHTTP_NO_* set"
    if [ $((text + rodata)) -le $ceiling ] && [ "$text" -gt 0 ]; then
        echo "ok 1 - Cortex-M4, every UHTTP_NO_* set: $((text + rodata)) of $ceiling bytes"
    else
        echo "not ok 1 - Cortex-M4, every UHTTP_NO_* set: $((text + rodata)) of $ceiling bytes"
        status=1
    fi
else
    echo "not ok 1 - Cortex-M4, every UHTTP_NO_* set: does not build"
    sed 's/^/# /' "$out/smallest.log"
    status=1
fi

alone=$((text + rodata))
# shellcheck disable=SC2046,SC2086  # several flags in one variable
if link websocket $(echo $smallest | sed 's/-DUHTTP_NO_WEBSOCKET//') -DHELLO_WEBSOCKET \
        2>"$out/websocket.log"; then
    report websocket "the same with WebSocket, in use"
    if [ $((text + rodata - alone)) -le $websocket_ceiling ]; then
        echo "ok 2 - Cortex-M4, WebSocket alone: $((text + rodata - alone)) of" \
            "$websocket_ceiling bytes"
    else
        echo "not ok 2 - Cortex-M4, WebSocket alone: $((text + rodata - alone)) of" \
            "$websocket_ceiling bytes"
        status=1
    fi
else
    echo "not ok 2 - Cortex-M4, WebSocket alone: does not build"
    sed 's/^/# /' "$out/websocket.log"
    status=1
fi

if link full 2>"$out/full.log"; then
    report full "nothing switched off"
    echo "ok 3 - Cortex-M4, nothing switched off: links"
else
    echo "not ok 3 - Cortex-M4, nothing switched off: does not build"
    sed 's/^/# /' "$out/full.log"
    status=1
fi

bytes=$(whole)
if [ -n "$bytes" ] && [ "$bytes" -le $whole_ceiling ]; then
    echo "ok 4 - Cortex-M4, all of the header: $bytes of $whole_ceiling bytes"
else
    echo "not ok 4 - Cortex-M4, all of the header: ${bytes:-none} of $whole_ceiling bytes"
    sed 's/^/# /' "$out/whole.log"
    status=1
fi
exit $status
