#!/bin/bash
# Everything about TLS again with mbedTLS 3.6, trixie's package unpacked into build/: the test
# program, real clients; then 256 MiB each way with bounded memory, reloads under load, and every
# single allocation failing.
. "$(dirname "$0")/../script.sh"

for tool in openssl apt-get dpkg; do
    command -v $tool >/dev/null || skip_all "$tool is not installed"
done
here=$root/build/mbedtls36
prefix=$here/unpacked/usr

# apt gets lists and a status of its own: nothing on the machine changes, signatures are checked.
fetch() {
    local uri key apt
    uri=$(apt-get indextargets --format '$(REPO_URI)' 'Origin: Debian' 'Codename: bookworm' |
        head -n 1)
    key=$(dpkg -L debian-archive-keyring 2>/dev/null | grep '/debian-archive-keyring\.gpg$')
    [ -n "$uri" ] && [ -n "$key" ] || return
    mkdir -p "$here/lists/partial" "$here/cache/archives/partial"
    : >"$here/status"
    echo "deb [signed-by=$key] $uri trixie main" >"$here/sources.list"
    apt="-o Dir::Etc::sourcelist=$here/sources.list -o Dir::Etc::sourceparts=-
        -o Dir::State::lists=$here/lists -o Dir::State::status=$here/status
        -o Dir::Cache=$here/cache -o APT::Sandbox::User=root"
    # shellcheck disable=SC2086
    (cd "$here" && apt-get $apt -qq update && apt-get $apt -qq download libmbedtls-dev &&
        dpkg -x libmbedtls-dev_*.deb unpacked) >"$dir/log" 2>&1
    rm -rf "$here/lists" "$here/cache"
}
libraries=$(find "$prefix" -name libmbedtls.a 2>/dev/null)
if [ -z "$libraries" ]; then
    rm -rf "$here"
    fetch
    libraries=$(find "$prefix" -name libmbedtls.a 2>/dev/null)
fi
[ -n "$libraries" ] || skip_all "trixie's libmbedtls-dev cannot be had"
export MBEDTLS_CFLAGS="-isystem $prefix/include"
export MBEDTLS_LIBS="-L$(dirname "$libraries") -Wl,-Bstatic -lmbedtls -lmbedx509 -lmbedcrypto
    -Wl,-Bdynamic"
certs=$root/build/tls
tests/server/tls_certificates.sh "$certs" || bail_out "no certificates"

# --- the test program, and real clients ------------------------------------------------------

# shellcheck disable=SC2086
"$cc" -std=gnu11 -g -O1 -pthread -I . -I tests/server $MBEDTLS_CFLAGS tests/server/test_tls.c -o "$dir/test_tls" \
    -Wl,--wrap=calloc $MBEDTLS_LIBS -lcmocka -lm >"$dir/log" 2>&1 || bail_out "test_tls.c builds"
CMOCKA_MESSAGE_OUTPUT=TAP UHTTP_TEST_EVERY=1 "$dir/test_tls" >"$dir/tap" 2>&1
status=$?
is "the test program, all allocations failing: $(tap_passed "$dir/tap") tests" 0 $status
grep '^not ok' "$dir/tap" | grep -v SKIP | sed 's/^/# /'
for name in server server_requests server_limits server_streams server_uploads server_files \
    server_fields server_arguments server_websocket request_extras; do
    # shellcheck disable=SC2086
    "$cc" -std=gnu11 -g -O0 -pthread -I . -I tests/server -I tests/machine $MBEDTLS_CFLAGS -DLOOP_TLS -DUHTTP_TLS \
        "tests/server/test_$name.c" -o "$dir/suite" -Wl,--wrap=calloc $MBEDTLS_LIBS -lcmocka -lm \
        >"$dir/log" 2>&1 || bail_out "test_$name.c builds over TLS"
    CMOCKA_MESSAGE_OUTPUT=TAP "$dir/suite" >"$dir/tap" 2>&1
    status=$?
    is "test_$name.c over TLS: $(tap_passed "$dir/tap") tests" 0 $status
    grep '^not ok' "$dir/tap" | grep -v SKIP | sed 's/^/# /'
done
CC=$cc tests/clients/tls.sh >"$dir/tap" 2>&1
status=$?
is "curl and openssl: $(tap_passed "$dir/tap") tests" 0 $status
grep -A 3 '^not ok' "$dir/tap" | sed 's/^/# /'

# --- large bodies, bounded memory ------------------------------------------------------------

# large NAME FLAGS LIBS
large() {
    # shellcheck disable=SC2086
    "$cc" -std=gnu11 -O2 $2 tests/clients/tls_server.c -o "$dir/server" $3 >"$dir/log" 2>&1 ||
        bail_out "tls_server.c builds"
    cp "$certs/server.pem" "$dir/live.pem"
    cp "$certs/server.key" "$dir/live.key"
    "$dir/server" "$dir/live.pem" "$dir/live.key" >"$dir/said" 2>"$dir/err" &
    started=$!
    children+=("$started")
    await "$dir/said" '^port' || bail_out "the server starts"
    read -r _ port _ <"$dir/said"
    url=https://localhost:$port
    is "$1: 256 MiB down" 268435456 \
        "$(ask --cacert "$certs/ca.pem" "$url/bytes/268435456" | wc -c | tr -d ' ')"
    is "$1: 256 MiB up" 268435456 "$(head -c 268435456 /dev/zero |
        ask --cacert "$certs/ca.pem" -H 'Expect:' -T - -X POST "$url/count")"

    # every 50 ms another certificate, while four clients ask as fast as they can
    for n in 1 2 3 4; do
        for _ in $(seq 60); do
            ask --cacert "$certs/ca.pem" -o "$dir/load.$n" -o "$dir/load.$n" \
                -w '%{http_code}\n' "$url/bytes/100000" "$url/"
        done >"$dir/codes.$n" &
        loads[n]=$!
    done
    while kill -0 "${loads[@]}" 2>/dev/null; do
        kill -HUP "$started"
        sleep 0.05
        cp "$certs/renewed.pem" "$dir/live.pem"
        cp "$certs/renewed.key" "$dir/live.key"
        kill -HUP "$started"
        sleep 0.05
        cp "$certs/server.pem" "$dir/live.pem"
        cp "$certs/server.key" "$dir/live.key"
    done
    wait "${loads[@]}"
    is "$1: reloads under load, and not one request failed ($(grep -c success "$dir/said") reloads)" \
        "480 200" "$(cat "$dir"/codes.? | sort | uniq -c | awk '{ print $1, $2 }')"
    end TERM "$started"
    is "$1: the server ended in order" 0 $?
    peak=$(sed -n 's/^peak \([0-9]*\) kB/\1/p' "$dir/said")
    is "$1: all that from less than 16 MiB of memory ($peak kB)" yes \
        "$([ "$peak" -lt 16384 ] && echo yes)"
}
large "3.6" "$MBEDTLS_CFLAGS" "$MBEDTLS_LIBS"
if echo '#include <mbedtls/ssl.h>' | "$cc" -x c -c - -o "$dir/probe.o" 2>/dev/null; then
    large "the machine's" "" "-lmbedtls -lmbedx509 -lmbedcrypto"
fi
done_testing
