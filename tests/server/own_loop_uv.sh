#!/usr/bin/env bash
# The server inside a loop of libuv and inside one of GLib: builds own_loop_uv.c and
# own_loop_glib.c and runs them. Prints TAP.
. "$(dirname "$0")/../script.sh"
test_flags="$(pkg-config --cflags --libs cmocka 2>/dev/null || echo -lcmocka) -lm"
status=0

# run NAME PACKAGE OTHERWISE HEADER: the program for one library, if there is that library
run() {
    flags="$(pkg-config --cflags --libs "$2" 2>/dev/null || echo "$3") $test_flags"
    echo "#include <$4>
          int main(void) { return 0; }" >"$dir/probe.c"
    # shellcheck disable=SC2086
    if ! "$cc" -o "$dir/probe" "$dir/probe.c" $flags 2>/dev/null; then
        echo "1..0 # SKIP there is no $2"
        return
    fi
    # shellcheck disable=SC2086
    if ! "$cc" -std=gnu11 -g -O1 -Wall -Wextra -Wshadow -Werror -pthread -I . -I tests/server \
            -o "$dir/$1" "tests/server/$1.c" $flags >"$dir/log" 2>&1; then
        echo "not ok 1 - tests/server/$1.c builds"
        sed 's/^/# /' "$dir/log"
        echo "1..1"
        status=1
        return
    fi
    CMOCKA_MESSAGE_OUTPUT=TAP "$dir/$1" || status=1
}

run own_loop_uv libuv -luv uv.h
run own_loop_glib glib-2.0 -lglib-2.0 glib-unix.h
exit $status
