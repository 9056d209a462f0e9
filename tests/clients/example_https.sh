#!/bin/bash
# examples/https.c, redirect.c, mtls.c and openssl.c, by curl
. "$(dirname "$0")/../script.sh"

command -v openssl >/dev/null || skip_all "openssl is not installed"
echo '#include <mbedtls/ssl.h>' >"$dir/probe.c"
"$cc" ${CFLAGS:-} -c "$dir/probe.c" -o "$dir/probe.o" 2>/dev/null || skip_all "mbedTLS is not installed"
certs=$root/build/tls
tests/server/tls_certificates.sh "$certs" || bail_out "no certificates"
libraries=(-lmbedtls -lmbedx509 -lmbedcrypto)

# --- https.c ---------------------------------------------------------------------------------

build https "${libraries[@]}"
start https 0 "$dir/own.pem" "$dir/own.key" "$dir/https.pid"
is "the file of its process id has it" "$started" "$(cat "$dir/https.pid")"
is "a certificate is made at the first start" "<h1>nobody else can read this</h1>" \
    "$(ask --cacert "$dir/own.pem" "https://localhost:$port/")"
case $(ls -l "$dir/own.key") in -rw-------*) true ;; *) false ;; esac
ok "its key is for its owner alone"
is "the answer asks to be asked securely from now on" "max-age=31536000" \
    "$(ask -k -D - -o "$dir/out" "$url/" | tr -d '\r' | sed -n 's/^Strict-Transport-Security: //p')"
serial() {
    openssl s_client -connect "127.0.0.1:$port" </dev/null 2>/dev/null | openssl x509 -noout -serial
}
before=$(serial)
cp "$certs/server.key" "$dir/own.key"
kill -HUP "$started"
await "$dir/https.err" "stays in force: .*own.key: does not belong to the certificate"
ok "a renewal that does not fit is refused, with its reason"
is "and the old one still shown" "$before" "$(serial)"
cp "$certs/server.pem" "$dir/own.pem"
kill -HUP "$(cat "$dir/https.pid")"
for _ in $(seq 50); do [ "$(serial)" = "$before" ] || break; sleep 0.1; done
is "a good one is shown to newcomers" "$(openssl x509 -in "$certs/server.pem" -noout -serial)" \
    "$(serial)"
end TERM "$started"
is "SIGTERM ends it with status 0" 0 $?
[ ! -e "$dir/https.pid" ]
ok "and the file of its process id is gone"
printf 'no certificate\n' >"$dir/bad.pem"
timeout 10 "$dir/https" 0 "$dir/bad.pem" "$dir/own.key" 2>"$dir/err" >"$dir/out"
is "what is wrong with a certificate is one sentence" "1 1" \
    "$(wc -l <"$dir/err" | tr -d ' ') $(grep -c "^cannot listen on port 0: $dir/bad.pem: X509" "$dir/err")"
start https 0 "$dir/own.pem" "$dir/own.key"
is "at the next start the files are taken as they are" "<h1>nobody else can read this</h1>" \
    "$(ask --cacert "$certs/ca.pem" "https://localhost:$port/")"
end TERM "$started"

# --- redirect.c ------------------------------------------------------------------------------

build redirect "${libraries[@]}"
plain=$((20000 + $$ % 20000))
start redirect 0 "$plain" "$certs/server.pem" "$certs/server.key"
where() {
    ask -o "$dir/out" -w '%{http_code} %{redirect_url}' "$@"
}
is "who comes without TLS is sent away" "308 https://localhost:$port/a/b?c=d" \
    "$(where "http://localhost:$plain/a/b?c=d")"
is "whatever name he used" "308 https://example.org:$port/" \
    "$(where -H 'Host: example.org' "http://localhost:$plain/")"
is "also an address with brackets" "308 https://[::1]:$port/" \
    "$(where -H "Host: [::1]:$plain" "http://localhost:$plain/")"
is "and arrives, with what he sent" "/a/b" \
    "$(ask -L --cacert "$certs/ca.pem" -d x=y "http://localhost:$plain/a/b")"
end TERM "$started"

# --- mtls.c ----------------------------------------------------------------------------------

build mtls "${libraries[@]}"
start mtls 0 "$certs/server.pem" "$certs/server.key" "$certs/ca.pem" "C=DE, O=uHTTP tests, CN=alice"
as() {
    local who=$1
    shift
    status --cacert "$certs/ca.pem" --cert "$certs/$who.pem" --key "$certs/$who.key" "$@"
}
is "a client with a good certificate is let in" 200 "$(as alice "https://localhost:$port/")"
is "and greeted by its name" "hello C=DE, O=uHTTP tests, CN=alice" "$(cat "$dir/out")"
is "it may see what is for it alone" 200 "$(as alice "https://localhost:$port/admin")"
is "another good one is let in" 200 "$(as server "https://localhost:$port/")"
is "but may not see that" 403 "$(as server "https://localhost:$port/admin")"
is "one of another authority gets no connection" 000 "$(as mallory "https://localhost:$port/")"
is "nor does who has none" 000 "$(status --cacert "$certs/ca.pem" "https://localhost:$port/")"
end TERM "$started"

# --- openssl.c -------------------------------------------------------------------------------

echo '#include <openssl/ssl.h>' >"$dir/probe.c"
if "$cc" ${CFLAGS:-} -c "$dir/probe.c" -o "$dir/probe.o" 2>/dev/null; then
    plug=$(sed -n '/^typedef struct peer/,/^static const uhttp_transport/p' examples/openssl.c | wc -l)
    is "OpenSSL is plugged in through fewer than 100 lines" yes \
        "$([ "$plug" -gt 0 ] && [ "$plug" -lt 100 ] && echo yes)"
    build openssl -lssl -lcrypto
    start openssl 0 "$certs/server.pem" "$certs/server.key"
    is "it answers" "hello through OpenSSL" "$(ask --cacert "$certs/ca.pem" "https://localhost:$port/")"
    is "by TLS 1.2 as well" "hello through OpenSSL" \
        "$(ask --tls-max 1.2 --cacert "$certs/ca.pem" "https://localhost:$port/")"
    is "several requests use one connection" "1 0 " \
        "$(ask --cacert "$certs/ca.pem" -o "$dir/out" -o "$dir/out" -w '%{num_connects} ' \
            "https://localhost:$port/" "https://localhost:$port/")"
    is "plain HTTP is refused readably" 400 "$(status "http://localhost:$port/")"
    head -c 3000000 /dev/zero >"$dir/large"
    is "a large upload is refused readably" 413 \
        "$(status --cacert "$certs/ca.pem" --data-binary "@$dir/large" "https://localhost:$port/")"
    is "400 KB are read" "hello through OpenSSL" \
        "$(head -c 400000 "$dir/large" | ask --cacert "$certs/ca.pem" --data-binary @- \
            "https://localhost:$port/")"
fi
done_testing
