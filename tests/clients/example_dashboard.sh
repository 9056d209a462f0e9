#!/bin/bash
# examples/dashboard/: its page as packed, and all that it can be asked, by curl; over HTTPS where
# mbedTLS is installed
. "$(dirname "$0")/../script.sh"

page=examples/dashboard/page
data=$dir/data
mkdir "$data"

# --- the page -----------------------------------------------------------------------------------

size=$(cat "$page"/* | wc -c)
[ "$size" -lt 40960 ]
ok "the page is smaller than 40 KiB ($size bytes)"
is "and asks no other server for anything" "" \
    "$(grep -ho 'https*://[^"]*' "$page"/* | grep -v '^http://www.w3.org/2000/svg$')"

build dashboard
start dashboard 0 secret "$data"
for file in "$page"/*; do
    name=${file##*/}
    ask --compressed -D "$dir/head" -o "$dir/out" "$url/$name"
    cmp -s "$dir/out" "$file" && { [ "$name" = icon.svg ] ||
        grep -q '^Content-Encoding: gzip' "$dir/head"; }
    ok "page_files.h has $name as it is, compressed"
done
is "/ is the page" 200 "$(status --compressed "$url/")"
cmp -s "$dir/out" "$page/index.html"
ok "itself"
grep -q "^Content-Security-Policy: default-src 'self';" "$dir/head"
ok "scripts and styles come from the device alone"
ask --compressed --etag-save "$dir/etag" -o "$dir/out" "$url/app.js"
is "a browser that has a file hears so" 304 \
    "$(status --compressed --etag-compare "$dir/etag" "$url/app.js")"
is "nothing else is there" 404 "$(status "$url/device.bin")"

# --- signing in ---------------------------------------------------------------------------------

# api PATH ARGUMENT...: what the API says, and its status
api() {
    ask -b "$dir/jar" -w ' %{http_code}' "${@:2}" "$url/api/$1"
}
# sign_in PASSWORD
sign_in() {
    ask -c "$dir/jar" -D "$dir/head" -w ' %{http_code}' --data-urlencode "password=$1" \
        "$url/api/login"
}
: >"$dir/jar"
is "everybody may ask whether they are signed in" '{"signed_in":false,"busy":false} 200' \
    "$(api session)"
for what in settings log live; do
    is "$what is for those who are" '{"error":"Sign in first."} 401' "$(api $what)"
done
is "settings cannot be changed without" 401 \
    "$(status -X PUT -H 'Content-Type: application/json' -d '{}' "$url/api/settings")"
head -c 3000000 /dev/urandom >"$dir/image"
is "nor the firmware: refused before it is sent" 401 "$(status -T "$dir/image" "$url/api/firmware")"
is "nor is it restarted" 401 "$(status -X POST "$url/api/restart")"
is "a method it has not" "405 GET, PUT" \
    "$(ask -o "$dir/out" -w '%{http_code} ' -D "$dir/head" -X POST "$url/api/settings"
       tr -d '\r' <"$dir/head" | sed -n 's/^Allow: //p')"

is "a wrong password has to wait a second" '{"error":"The password is wrong.","wait_s":1} 403' \
    "$(sign_in wrong)"
is "in which the right one is not looked at" '{"error":"Too many attempts.","wait_s":1} 429' \
    "$(sign_in secret)"
grep -q '^Retry-After: 1' "$dir/head"
ok "which it says in the head, too"
sleep 1.1
is "the next one twice as long" '{"error":"The password is wrong.","wait_s":2} 403' "$(sign_in '')"
sleep 2.1
is "the right one is taken" '{} 200' "$(sign_in secret)"
tr -d '\r' <"$dir/head" | grep -q \
    '^Set-Cookie: dashboard=[0-9a-f]\{32\}; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict$'
ok "with a cookie that scripts and other sites do not have"
is "and forgets the wait" '{"error":"The password is wrong.","wait_s":1} 403' \
    "$(ask -w ' %{http_code}' -d password=x "$url/api/login")"
is "now it is signed in" '{"signed_in":true,"busy":false} 200' "$(api session)"
is "a guessed cookie is none" 401 \
    "$(status -b dashboard=00000000000000000000000000000000 "$url/api/settings")"

# --- settings -----------------------------------------------------------------------------------

put() {
    api settings -X PUT -H 'Content-Type: application/json' -d "$1"
}
# field NAME: of the last answer
field() {
    api settings | grep -o "\"$1\":[^,}]*" | cut -d : -f 2
}
api settings | grep -q '^{"settings":{"name":"Greenhouse","target":24,"alarm":30,"fan":"auto",'
ok "settings as delivered"
good='{"name":"Gewächshaus","target":21.5,"alarm":33,"fan":"full","interval":2,"log_requests":true}'
put "$good" | grep -q '"name":"Gewächshaus","target":21.5,"alarm":33,"fan":"full","interval":2'
ok "all of them can be changed"
is "what is wrong is said of each field" \
    '{"error":"Not saved.","fields":{"name":"Enter a name of 1 to 24 characters.","target":"Enter 10 to 35 °C.","alarm":"Enter 10 to 60 °C.","fan":"Choose automatic, off or full speed.","interval":"Enter 1 to 60 whole seconds."}} 422' \
    "$(put '{"name":" ","target":36,"alarm":null,"fan":"on","interval":1.5}')"
is "one can depend on the other" \
    '{"error":"Not saved.","fields":{"alarm":"Must be above the target temperature."}} 422' \
    "$(put '{"name":"a","target":20,"alarm":20,"fan":"off","interval":1}')"
long=ääääääääääääääääääääääää
put "{\"name\":\"${long}ä\",\"target\":20,\"alarm\":25,\"fan\":\"off\",\"interval\":1}" |
    grep -q '"fields":{"name":"Enter'
ok "25 characters are too many"
is "and nothing was changed by that" '"Gewächshaus"' "$(field name)"
put "{\"name\":\"$long\",\"target\":20,\"alarm\":25,\"fan\":\"off\",\"interval\":1}" | grep -q ' 200$'
ok "24 are not, whatever their bytes"
is "no JSON" '{"error":"This is not JSON."} 400' "$(put '{"name":')"
is "not said to be JSON" '{"error":"Send application/json."} 415' \
    "$(api settings -X PUT -H 'Content-Type: text/plain' -d "$good")"
is "far too long" 413 "$(status -b "$dir/jar" -X PUT -H 'Content-Type: application/json' \
    -d "{\"name\":\"$(head -c 5000 /dev/zero | tr '\0' x)\"}" "$url/api/settings")"
put "$good" | grep -q ' 200$'
ok "and back"

# --- the log ------------------------------------------------------------------------------------

# log SECONDS ARGUMENT...: events as they come
log() {
    ask -N -b "$dir/jar" --max-time "$1" "${@:2}" "$url/api/log"
}
log 1 -D "$dir/head" >"$dir/events"
tr -d '\r' <"$dir/head" | grep -qx 'Content-Type: text/event-stream'
ok "the log is a stream of events"
grep -q '^data: {"age_ms":[0-9]*,"level":"info","text":"started, [0-9]* bytes for 8 connections"}$' \
    "$dir/events" && grep -q '"warning","text":"wrong password from 127.0.0.1"' "$dir/events" &&
    grep -q '"info","text":"settings changed: Gewächshaus, 21.5 °C"' "$dir/events"
ok "of what happened"
grep -q '"text":"127.0.0.1 GET /api/settings: 200, [0-9]* ms"' "$dir/events"
ok "with every request, as the settings say"
last=$(sed -n 's/^id: //p' "$dir/events" | tail -n 1)
log 1 -H "Last-Event-ID: $last" >"$dir/more"
! grep -q "^id: $last\$" "$dir/more" && [ "$(grep -c '^id: ' "$dir/more")" -le 3 ]
ok "who comes back gets what is new"
is "and so by the query" 0 "$(ask -N -b "$dir/jar" --max-time 1 "$url/api/log?last=$last" |
    grep -c "^id: $last\$")"
log 1 -H "Last-Event-ID: 00000000-3" | grep -q '"text":"started'
ok "an id of another run means nothing"
for _ in 1 2 3 4 5; do
    log 0.2 | grep -c '"text":"started'
done >"$dir/out"
is "readers that come and go leave their places" "1 1 1 1 1 " "$(tr '\n' ' ' <"$dir/out")"

# --- live values --------------------------------------------------------------------------------

cookie=$(awk '/dashboard/ { print $6 "=" $7 }' "$dir/jar")
# open_live DESCRIPTOR FIELD...: a handshake on a connection of its own
open_live() {
    eval "exec $1<>/dev/tcp/127.0.0.1/$port"
    printf '%s\r\n' "GET /api/live HTTP/1.1" "Host: 127.0.0.1:$port" "Upgrade: websocket" \
        "Connection: Upgrade" "Sec-WebSocket-Version: 13" \
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==" "${@:2}" "" >&"$1"
}
# answer DESCRIPTOR: the first line that comes
answer() {
    local line
    IFS= read -r -t 5 line <&"$1"
    printf '%s' "$line" | tr -d '\r'
}
open_live 6
is "a WebSocket needs a session" "HTTP/1.1 401 Unauthorized" "$(answer 6)"
open_live 6 "Cookie: $cookie" "Origin: http://other.example"
is "and a page of this device" "HTTP/1.1 403 Forbidden" "$(answer 6)"
open_live 6 "Cookie: $cookie" "Origin: $url"
timeout 4 cat <&6 >"$dir/live"
grep -aq '^HTTP/1.1 101' "$dir/live"
ok "then it opens"
values=$(grep -ao '\[[0-9]*,-*[0-9.]*,[0-9.]*,[0-9.]*\]' "$dir/live" | wc -l)
[ "$values" -ge 601 ]
ok "with ten minutes of values, and new ones ($values)"
[ "$(grep -ao '"uptime_s":[0-9]*' "$dir/live" | sort -u | wc -l)" -ge 3 ]
ok "and the server's status each second"
grep -aq '"slots":8,"memory":[0-9]*,' "$dir/live" && grep -aq '"connections":[0-9]*,' "$dir/live"
ok "with memory and counters"
open_live 7 "Cookie: $cookie"
open_live 8 "Cookie: $cookie"
is "a second and a third" "HTTP/1.1 101 Switching Protocols" "$(answer 8)"
exec 5<&-
open_live 5 "Cookie: $cookie"
is "a fourth viewer is one too many" "HTTP/1.1 503 Service Unavailable" "$(answer 5)"
is "which everybody may know" '{"signed_in":true,"busy":true} 200' "$(api session)"
exec 7>&- 7<&-
for _ in $(seq 50); do
    [ "$(api session)" = '{"signed_in":true,"busy":false} 200' ] && break
    sleep 0.1
done
is "until one leaves" '{"signed_in":true,"busy":false} 200' "$(api session)"
exec 5>&- 5<&- 6>&- 6<&- 8>&- 8<&-

# --- firmware -----------------------------------------------------------------------------------

sum=$(sha256sum "$dir/image" | cut -d ' ' -f 1)
printf abc >"$dir/small"
is "an image is installed, and its digest said" "{\"bytes\":3000000,\"sha256\":\"$sum\"} 200" \
    "$(api firmware -T "$dir/image")"
cmp -s "$dir/image" "$data/firmware.bin"
ok "as it was sent"
is "a small one" \
    '{"bytes":3,"sha256":"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"} 200' \
    "$(api firmware -T "$dir/small")"
for length in 55 56 63 64 65 119 120; do
    head -c $length /dev/zero >"$dir/some"
    api firmware -T "$dir/some" >"$dir/out"
    [ "{\"bytes\":$length,\"sha256\":\"$(sha256sum "$dir/some" | cut -d ' ' -f 1)\"} 200" = \
        "$(cat "$dir/out")" ] || echo "$length: $(cat "$dir/out")"
done >"$dir/wrong"
is "digests of lengths around a block" "" "$(cat "$dir/wrong")"
is "chunked, with the digest it must have" "{\"bytes\":3000000,\"sha256\":\"$sum\"} 200" \
    "$(api "firmware?sha256=$sum" -T - <"$dir/image")"
is "another digest: not installed" \
    '{"error":"The image is damaged: its digest does not match."} 422' \
    "$(api "firmware?sha256=$sum" -T "$dir/small")"
is "half a digest" '{"error":"sha256 has 64 digits."} 400' "$(api 'firmware?sha256=12' -T "$dir/small")"
is "no image" '{"error":"The image is empty."} 400' "$(api firmware -T /dev/null)"
head -c 17000000 /dev/zero >"$dir/large"
is "too large" '{"error":"The image is larger than the flash."} 413' \
    "$(api firmware -T "$dir/large")"
is "too large, chunked" 413 "$(status -b "$dir/jar" -T - "$url/api/firmware" <"$dir/large")"
exec 8<>"/dev/tcp/127.0.0.1/$port"
{ printf 'PUT /api/firmware HTTP/1.1\r\nHost: a\r\nCookie: %s\r\nContent-Length: 6000000\r\n\r\n' \
      "$cookie"
  head -c 500000 /dev/zero; } >&8
for _ in $(seq 100); do
    [ -s "$data/firmware.new" ] && break
    sleep 0.05
done
is "one at a time" '{"error":"Another update is under way."} 409' \
    "$(api firmware -T "$dir/small")"
is "and no restart meanwhile" '{"error":"An update is under way."} 409' "$(api restart -X POST)"
exec 8>&- 8<&-
for _ in $(seq 100); do
    [ -e "$data/firmware.new" ] || break
    sleep 0.05
done
[ ! -e "$data/firmware.new" ] && cmp -s "$dir/image" "$data/firmware.bin"
ok "one that breaks off is dropped, and the installed one stays"
log 1 | grep -q 'firmware not installed: the upload broke off'
ok "which the log says"

# --- restarts, and signing out ------------------------------------------------------------------

before=$port
log 10 >"$dir/events" &
stream=$!
for _ in $(seq 50); do
    grep -q '^id: ' "$dir/events" && break
    sleep 0.1
done
is "a restart is asked for" '{} 200' "$(api restart -X POST)"
wait $stream
ok "streams end in order"
grep -q '"text":"restarting"' "$dir/events"
ok "and the log says why"
await "$dir/dashboard.out" '^listening on http' 2
is "it listens where it did" "http://localhost:$before/" \
    "$(sed -n 's/^listening on //p' "$dir/dashboard.out" | tail -n 1)"
is "the session goes on" '{"signed_in":true,"busy":false} 200' "$(api session)"
is "the new firmware runs" "\"${sum:0:8}\"" "$(field firmware)"
log 1 | grep -q '"info","text":"started'
ok "and the log begins anew"
end TERM "$started"
is "SIGTERM ends it with status 0" 0 $?
is "without complaints" "" "$(cat "$dir/dashboard.err")"

start dashboard 0 secret "$data"
is "what was set outlives the program" '"Gewächshaus"' "$(field name)"
is "and so does the session" '{"signed_in":true,"busy":false} 200' "$(api session)"
strings=$(tr -c '[:print:]' '\n' <"$data/device.bin")
[ "${strings/${cookie#*=}/}" = "$strings" ]
ok "of which the file has only a digest"
cp "$dir/jar" "$dir/copy"
open_live 6 "Cookie: $cookie"
is "a WebSocket opens" "HTTP/1.1 101 Switching Protocols" "$(answer 6)"
is "signing out" '{} 200' "$(api logout -X POST -c "$dir/jar")"
timeout 5 cat <&6 >"$dir/live"
is "ends what the session had open" 0 $?
exec 6>&- 6<&-
is "and its cookie is of no use any more" 401 "$(status -b "$dir/copy" "$url/api/settings")"
end TERM "$started"

printf x | dd of="$data/device.bin" bs=1 seek=40 conv=notrunc 2>"$dir/log"
start dashboard 0 secret "$data"
is "a damaged record is not believed" '{} 200' "$(sign_in secret)"
is "then all is as delivered" '"Greenhouse"' "$(field name)"
end TERM "$started"
"$dir/dashboard" 80x secret "$data" >"$dir/out" 2>"$dir/err"
is "it explains its arguments" 2 $?
cd "$dir" && start dashboard 0
cd "$root" || exit 2
secret=$(sed -n 's/^the password is \([0-9a-f]\{12\}\)$/\1/p' "$dir/dashboard.out")
is "without a password it makes one up" '{} 200' "$(sign_in "$secret")"
end TERM "$started"

# --- HTTPS --------------------------------------------------------------------------------------

if echo '#include <mbedtls/ssl.h>' | "$cc" ${CFLAGS:-} -E - >/dev/null 2>&1 &&
        command -v openssl >/dev/null && tests/server/tls_certificates.sh build/tls; then
    cp build/tls/server.pem "$data/chain.pem"
    cp build/tls/server.key "$data/key.pem"
    build dashboard -DUHTTP_TLS -lmbedtls -lmbedx509 -lmbedcrypto
    start dashboard 0 secret "$data"
    ask() {
        curl -q -sS --max-time 60 --cacert build/tls/ca.pem "$@" 2>"$dir/err"
    }
    is "HTTPS: signing in" '{} 200' "$(sign_in secret)"
    tr -d '\r' <"$dir/head" | grep -q '^Set-Cookie: dashboard=.*; Secure'
    ok "HTTPS: the cookie goes nowhere else"
    is "HTTPS: an image" "{\"bytes\":3000000,\"sha256\":\"$sum\"} 200" \
        "$(api firmware -T "$dir/image")"
    log 1 | grep -q "firmware installed: ${sum:0:8}, 3000000 bytes"
    ok "HTTPS: the log"
    end TERM "$started"
    is "HTTPS: SIGTERM ends it with status 0" 0 $?
else
    number=$((number + 1))
    echo "ok $number - HTTPS # SKIP no mbedTLS or openssl"
fi
done_testing
