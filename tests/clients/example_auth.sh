#!/bin/bash
# examples/auth.c: Basic credentials
. "$(dirname "$0")/../script.sh"

build auth
start auth 0 'pass:wörd'

is "some pages are for everybody" 200 "$(status "$url/")"
is "others are not" 401 "$(status -D "$dir/head" "$url/secret")"
is "and the browser is told to ask" 'Basic realm="device", charset="UTF-8"' \
    "$(tr -d '\r' <"$dir/head" | sed -n 's/^WWW-Authenticate: //Ip')"
is "who knows the password is let in" "<h1>you know</h1>" \
    "$(ask -u 'admin:pass:wörd' "$url/secret")"
for who in 'admin:pass:word' 'admin:' 'admin:pass:wörd2' 'admin:pass:wör' 'Admin:pass:wörd' \
        ':pass:wörd' 'admin:Pass:wörd'; do
    is "'$who' is not" 401 "$(status -u "$who" "$url/secret")"
done
good=$(printf 'admin:pass:w\303\266rd' | base64)
for field in "Basic $good" "basic $good" "BASIC  $good"; do
    is "'$field' is understood" 200 "$(status -H "Authorization: $field" "$url/secret")"
done
for field in "Basic" "Basic ${good}=" "Basic ${good%?}" "Bearer $good" "Basic$good" "$good" \
        "Basic $good $good" "Basic $(printf 'admin' | base64)" \
        "Basic $(printf 'admin:pass\001' | base64)" \
        "Basic $(head -c 1000 /dev/zero | base64 | tr -d '\n')"; do
    is "'${field:0:40}' is not" 401 "$(status -H "Authorization: $field" "$url/secret")"
done
"$dir/auth" 0 '' 2>"$dir/err" >"$dir/out"
is "there is no empty password" 2 $?
done_testing
