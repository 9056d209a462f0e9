#!/usr/bin/env bash
# Asks a server of ours over HTTPS with real clients, curl and openssl s_client, on the loopback
# only. Prints TAP. CC is the compiler, MBEDTLS_CFLAGS and MBEDTLS_LIBS say which mbedTLS.
. "$(dirname "$0")/../script.sh"
certs=${UHTTP_TLS_CERTIFICATES:-$root/build/tls}

# has NAME PATTERN TEXT: does a line of it say so?
has() {
    is "$1" yes "$(printf '%s\n' "$3" | grep -q -e "$2" && echo yes || printf 'no: %s' "$3")"
}

# start ARGUMENT...: sets port, plain and server
start() {
    : >"$dir/out"
    ${RUN:-} "$dir/server" "$@" >"$dir/out" 2>"$dir/err" &
    children+=($!)
    for _ in $(seq 200); do
        read -r _ port plain _ server <"$dir/out" && return
        sleep 0.05
    done
    bail_out "the server does not start: $(cat "$dir/err")"
}

# stop: and its status
stop() {
    kill -TERM "$server"
    wait "$server"
    is "the server ended in order" 0 $?
    children=()
}

ask() {
    curl -q -sS --max-time 60 --cacert "$certs/ca.pem" "$@" 2>&1
}

# s_client INPUT ARGUMENT...: what it prints; -ign_eof: until the server ends the connection
s_client() {
    local input=$1
    shift
    printf "$input" | timeout 20 openssl s_client -connect "127.0.0.1:$port" \
        -CAfile "$certs/ca.pem" "$@" 2>&1
}

tests/server/tls_certificates.sh "$certs" || bail_out "no test certificates"
# shellcheck disable=SC2086
${CC:-cc} -std=gnu11 -O1 -g ${CFLAGS:-} ${MBEDTLS_CFLAGS:-} tests/clients/tls_server.c -o "$dir/server" \
    ${MBEDTLS_LIBS:--lmbedtls -lmbedx509 -lmbedcrypto} >"$dir/log" 2>&1 ||
    bail_out "tests/clients/tls_server.c does not build"

close='GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n'

start "$certs/server.pem" "$certs/server.key" --more "$certs/rsa.pem" "$certs/rsa.key" \
    --clients optional "$certs/ca.pem"
url=https://localhost:$port
is "curl verifies the chain against the test's authority" hello "$(ask "$url/")"
is "curl by address" hello "$(ask "https://127.0.0.1:$port/")"
has "curl refuses what an unknown authority signed" "SSL certificate problem" \
    "$(ask --cacert "$certs/other_ca.pem" "$url/")"
has "curl refuses a certificate of another name" "no alternative certificate subject name" \
    "$(ask --connect-to "nobody.example:443:127.0.0.1:$port" https://nobody.example/)"
is "a name of its own has a certificate of its own" hello \
    "$(ask --connect-to "other.example:443:127.0.0.1:$port" https://other.example/)"
is "a name under a wildcard" hello \
    "$(ask --connect-to "a.wild.example:443:127.0.0.1:$port" https://a.wild.example/)"
is "keep-alive: one connection for three requests" "1 0 0 " \
    "$(ask -o /dev/null -o /dev/null -o /dev/null -w '%{num_connects} ' "$url/" "$url/" "$url/")"
is "nobody without a certificate" "-" "$(ask "$url/subject")"
is "a client shows its certificate" "C=DE, O=uHTTP tests, CN=alice" \
    "$(ask --cert "$certs/alice.pem" --key "$certs/alice.key" "$url/subject")"
is "a bad certificate is none" "-" \
    "$(ask --cert "$certs/mallory.pem" --key "$certs/mallory.key" "$url/subject")"
is "20 MiB down" 20971520 "$(ask "$url/bytes/20971520" | wc -c | tr -d ' ')"
head -c 20971520 /dev/zero >"$dir/large"
is "20 MiB up" 20971520 "$(ask --data-binary "@$dir/large" "$url/count")"
is "20 MiB up, chunked" 20971520 \
    "$(ask -H 'Transfer-Encoding: chunked' -H 'Expect:' --data-binary "@$dir/large" "$url/count")"
is "plain HTTP on the secure port" "400 400 Bad Request" \
    "$(ask -w '%{http_code} ' -o "$dir/body" "http://localhost:$port/"; cat "$dir/body")"
is "plain HTTP beside it" hello "$(ask "http://localhost:$plain/")"
stop

start "$certs/server.pem" "$certs/server.key"
url=https://localhost:$port
for version in tls1 tls1_1; do
    is "$version is refused" no "$(s_client '' -$version -cipher 'ALL@SECLEVEL=0' |
        grep -q 'Cipher is (NONE)\|Cipher    : 0000' && echo no)"
done
out=$(s_client "$close" -tls1_2 -ign_eof)
has "TLS 1.2: an answer" hello "$out"
has "TLS 1.2: verified" "Verify return code: 0 (ok)" "$out"
has "TLS 1.2: X25519" "Server Temp Key: X25519" "$out"
has "TLS 1.2: a ticket" "TLS session ticket lifetime hint: 14400" "$out"
has "the larger curves alone are refused" "handshake failure\|alert" \
    "$(s_client '' -tls1_2 -groups P-521)"
has "P-256 alone is taken" "Server Temp Key: ECDH, prime256v1" \
    "$(s_client "$close" -tls1_2 -groups P-256 -ign_eof)"
has "suites without forward secrecy are refused" "handshake failure\|alert" \
    "$(s_client '' -tls1_2 -cipher AES128-SHA)"
has "ALPN selects http/1.1" "ALPN protocol: http/1.1" \
    "$(s_client "$close" -alpn h2,http/1.1 -ign_eof)"
has "ALPN without it is refused" "no application protocol" "$(s_client '' -alpn h2)"
s_client "$close" -tls1_2 -sess_out "$dir/session" -ign_eof >"$dir/log"
has "TLS 1.2: resumed by a ticket" "^Reused, TLSv1.2" \
    "$(s_client "$close" -tls1_2 -sess_in "$dir/session" -ign_eof)"
s_client "$close" -tls1_2 -no_ticket -sess_out "$dir/session" -ign_eof >"$dir/log"
has "TLS 1.2: resumed by the cache" "^Reused, TLSv1.2" \
    "$(s_client "$close" -tls1_2 -no_ticket -sess_in "$dir/session" -ign_eof)"
if s_client "$close" -tls1_3 -sess_out "$dir/session" -ign_eof | grep -q TLSv1.3; then
    has "TLS 1.3: resumed by a ticket" "^Reused, TLSv1.3" \
        "$(s_client "$close" -tls1_3 -sess_in "$dir/session" -ign_eof)"
    has "TLS 1.3: X25519" "Server Temp Key: X25519" "$(s_client "$close" -tls1_3 -ign_eof)"
else
    echo "# this mbedTLS is built without TLS 1.3"
fi
has "renegotiation is refused" "no renegotiation" "$( (printf 'R\n'; sleep 0.5; printf "$close") |
    timeout 20 openssl s_client -connect "127.0.0.1:$port" -tls1_2 2>&1)"
is "and others are served" hello "$(ask "$url/")"
printf 'rubbish that is no TLS at all and long enough to be a record' |
    timeout 5 openssl s_client -connect "127.0.0.1:$plain" >"$dir/log" 2>&1
is "the plain port survives a TLS hello" hello "$(ask "http://localhost:$plain/")"

cp "$certs/server.pem" "$dir/live.pem"
cp "$certs/server.key" "$dir/live.key"
stop
start "$dir/live.pem" "$dir/live.key"
url=https://localhost:$port
shown() { s_client '' -tls1_2 </dev/null | openssl x509 -noout -serial; }
before=$(shown)
cp "$certs/renewed.pem" "$dir/live.pem"
cp "$certs/server.key" "$dir/live.key"
reload() {
    kill -HUP "$server"
    for _ in $(seq 100); do
        [ "$(grep -c reloaded "$dir/out")" -ge "$1" ] && break
        sleep 0.05
    done
    sed -n "${2:-\$}p" "$dir/out"
}
has "a broken renewal says why" "live.key: does not belong to the certificate" "$(reload 1)"
is "and leaves the old certificate" "$before" "$(shown)"
cp "$certs/renewed.key" "$dir/live.key"
has "a good renewal" "reloaded: success" "$(reload 2)"
is "shows the new certificate" "$(openssl x509 -in "$certs/renewed.pem" -noout -serial)" "$(shown)"
is "and serves" hello "$(ask "$url/")"
stop

start "$certs/server.pem" "$certs/server.key" --clients required "$certs/ca.pem"
url=https://localhost:$port
# in TLS 1.3 mbedTLS 3.6 seals this alert with keys that openssl no longer expects
has "no client certificate, no connection" "alert\|bad record mac" "$(ask "$url/")"
has "one of another authority, no connection" "alert\|bad record mac" \
    "$(ask --cert "$certs/mallory.pem" --key "$certs/mallory.key" "$url/")"
is "a good one" "C=DE, O=uHTTP tests, CN=alice" \
    "$(ask --cert "$certs/alice.pem" --key "$certs/alice.key" "$url/subject")"
stop

is "an expired certificate is served" hello "$(start "$certs/expired.pem" "$certs/expired.key"
    ask -k "https://localhost:$port/"; ask "https://localhost:$port/" >"$dir/log"
    kill -TERM "$server")"
has "and refused by a careful client" "certificate has expired" "$(cat "$dir/log")"

echo "1..$number"
[ $failures -eq 0 ]
