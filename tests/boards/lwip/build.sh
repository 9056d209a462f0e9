#!/bin/sh
# build.sh LWIP PORT OUT [FLAG...]: OUT/loop and OUT/tap, the firmware's site on lwIP for the host.
# PORT is the folder of lwIP's unix port (contrib/ports/unix/port of 2.2); CC the compiler.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
lwip=$1 port=$2 out=$3
shift 3
mkdir -p "$out"
cc=${CC:-gcc}
# this folder before examples/firmware: the host's arch/cc.h
include="-I $here -I $root/examples/firmware -isystem $lwip/src/include -isystem $port/include -I $root"
# loop.c sends more through the loopback than wake-ups
flags="-O1 -g -DUHTTP_LWIP -DLWIP_LOOPBACK_MAX_PBUFS=100 $* $include"

# compile FLAG...: the files on standard input, as many at once as there are processors
compile() {
    # shellcheck disable=SC2086
    sed "s|.*/\(.*\)\.c|& -o $out/\1.o|" |
        xargs -P "$(getconf _NPROCESSORS_ONLN)" -L 1 $cc $flags "$@" -c
}

ls "$lwip"/src/core/*.c "$lwip"/src/core/ipv4/*.c "$lwip"/src/api/*.c "$lwip"/src/netif/ethernet.c |
    grep -v altcp | compile -std=c99 -w
ls "$port/sys_arch.c" "$port/netif/tapif.c" | compile -std=gnu99 -w -DLWIP_UNIX_LINUX -D_GNU_SOURCE
ls "$here"/*.c "$root/examples/firmware/site.c" |
    compile -std=c99 -Wall -Wextra -Wpedantic -Wshadow -Wno-overlength-strings -Werror
for main in loop tap; do
    common=$(ls "$out"/*.o | grep -v -e '/loop\.o$' -e '/tap\.o$')
    # shellcheck disable=SC2086
    $cc $flags $common "$out/$main.o" -o "$out/$main" -pthread
done
