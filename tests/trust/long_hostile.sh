#!/bin/bash
# Hostile clients beside a good one: hostile.py, which prints what it waits and what the server pays.
#
#   tests/trust/long_hostile.sh [--seconds N] [--only NAME...]
. "$(dirname "$0")/../script.sh"

command -v python3 >/dev/null || skip_all "there is no python3"
[ -r /proc/self/schedstat ] || skip_all "the kernel does not tell how long a process has computed"
flags="-O1 -Wall -Wextra -Wshadow -Werror"
# shellcheck disable=SC2086
"$cc" ${CFLAGS:-} $flags -o "$dir/plain" tests/trust/hostile_server.c >"$dir/log" 2>&1 ||
    bail_out "tests/trust/hostile_server.c builds"
set -- --plain "$dir/plain $root/README.md" "$@"
if echo '#include <mbedtls/ssl.h>' | "$cc" ${CFLAGS:-} -E - >/dev/null 2>&1 &&
        tests/server/tls_certificates.sh "$dir/certificates" >"$dir/log" 2>&1; then
    # shellcheck disable=SC2086
    "$cc" ${CFLAGS:-} $flags -DUHTTP_TLS -o "$dir/tls" tests/trust/hostile_server.c \
        -lmbedtls -lmbedx509 -lmbedcrypto >"$dir/log" 2>&1 ||
        bail_out "tests/trust/hostile_server.c builds with TLS"
    set -- --tls "$dir/tls $root/README.md $dir/certificates" "$@"
fi
python3 tests/trust/hostile.py "$@"
