#!/usr/bin/env bash
# Measures what HTTPS costs the server, against a bare loop of mbedtls_ssl_read() and _write() with
# the same configuration, in the same run: CPU of a keep-alive request, of a full and of a resumed
# handshake, and the heap that a connection holds.
#
#   tests/bench/tls.sh [ROUNDS]
#
# Fails when a target is missed: 1.15 times the bare loop for a request, 1.05 times for a full
# handshake, a fifth of a full one for a resumed one in TLS 1.2. Figures compare within one run. CC,
# CFLAGS, MBEDTLS_CFLAGS and MBEDTLS_LIBS are honoured.
set -eu
export LC_ALL=C

here=$(cd "$(dirname "$0")" && pwd)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
certs=$here/../../build/tls
"$here/../server/tls_certificates.sh" "$certs"
# shellcheck disable=SC2086
"${CC:-cc}" -std=gnu11 -O2 ${CFLAGS:-} ${MBEDTLS_CFLAGS:-} -o "$tmp/tls" "$here/tls.c" \
    ${MBEDTLS_LIBS:--lmbedtls -lmbedx509 -lmbedcrypto}
"$tmp/tls" "$certs/server.pem" "$certs/server.key" "$certs/ca.pem" "${1:-5}"
