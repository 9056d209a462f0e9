#!/bin/sh
# The server inside a loop of libuv: builds tests/server/own_loop_uv.c and runs it. Prints TAP.
set -u

root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root" || exit 2
tmp=$(mktemp -d) || exit 2
trap 'rm -rf "$tmp"' EXIT
cc=${CC:-cc}
flags=$(pkg-config --cflags --libs libuv 2>/dev/null || echo -luv)
flags="$flags $(pkg-config --cflags --libs cmocka 2>/dev/null || echo -lcmocka) -lm"

echo '#include <uv.h>
      int main(void) { return uv_version() == 0; }' >"$tmp/probe.c"
# shellcheck disable=SC2086
if ! "$cc" -o "$tmp/probe" "$tmp/probe.c" $flags 2>/dev/null; then
    echo "1..0 # SKIP there is no libuv"
    exit 0
fi
# shellcheck disable=SC2086
if ! "$cc" -std=gnu11 -g -O1 -Wall -Wextra -Wshadow -Werror -pthread -I . -I tests/server \
        -o "$tmp/own_loop_uv" tests/server/own_loop_uv.c $flags >"$tmp/log" 2>&1; then
    echo "not ok 1 - tests/server/own_loop_uv.c builds"
    sed 's/^/# /' "$tmp/log"
    echo "1..1"
    exit 1
fi
CMOCKA_MESSAGE_OUTPUT=TAP "$tmp/own_loop_uv"
