#!/bin/bash
# examples/form.c: signing in and out, forms, what is shown of them
. "$(dirname "$0")/../script.sh"

build form
start form 0 'p&ss=w rd%+'
secret='p&ss=w rd%+'

# visit ARGUMENT...: status and where it leads; the head in $dir/head, the page in $dir/out
visit() {
    ask -D "$dir/head" -o "$dir/out" -w '%{http_code} %{redirect_url}' "$@" |
        sed "s|$url||; s| \$||"
}
# head_of NAME: the value of a field
head_of() {
    tr -d '\r' <"$dir/head" | sed -n "s/^$1: //Ip"
}
# sign_in JAR
sign_in() {
    visit -c "$dir/$1" --data-urlencode "user=admin" --data-urlencode "password=$secret" \
        "$url/login"
}

is "who is not signed in is sent to do so" "303 /login" "$(visit "$url/")"
is "by a form" 200 "$(visit "$url/login")"
grep -q '<form method="post" action="/login">' "$dir/out"
ok "which is there"
is "with a style" "200 text/css" \
    "$(ask -o "$dir/out" -w '%{http_code} %{content_type}' "$url/style.css")"
is "pages are kept by nobody" "no-store" "$(head_of Cache-Control)"
is "a wrong password is not right" "403" "$(visit -d 'user=admin&password=x' "$url/login")"
is "nor is none" "403" "$(visit -d 'user=admin' "$url/login")"
is "nor an empty form" "403" "$(visit -d '' "$url/login")"
is "nor another user" "403" \
    "$(visit -d user=root --data-urlencode "password=$secret" "$url/login")"
is "and sets no cookie" "" "$(head_of Set-Cookie)"
is "an escaped NUL is a broken form" "400" "$(visit -d 'user=admin&password=%00' "$url/login")"
is "and what is no form is none" "400" \
    "$(visit -H 'Content-Type: text/plain' -d 'user=admin' "$url/login")"

is "signing in leads to the page" "303 /" "$(sign_in jar)"
head_of Set-Cookie | grep -q '^session=[0-9a-f]\{32\}; Path=/; HttpOnly; SameSite=Lax$'
ok "with a cookie that scripts and other sites' forms do not have"
first=$(head_of Set-Cookie)
is "now the page is there" 200 "$(visit -b "$dir/jar" "$url/")"
is "a guessed session is none" "303 /login" \
    "$(visit -b "session=00000000000000000000000000000000" "$url/")"
is "nor is an empty one" "303 /login" "$(visit -b "session=" "$url/")"
is "nor one that begins like it" "303 /login" "$(visit -b "${first:0:39}" "$url/")"
is "other cookies do not matter" 200 "$(visit -b "a=b; ${first%%;*}; c" "$url/")"

note=$'<script>alert("1")</script> & \'two\' lines\r\nof it + \xc3\xbc'
is "a note is saved" "303 /?saved" \
    "$(visit -b "$dir/jar" --data-urlencode "note=$note" "$url/")"
is "and the next page says so" "200 Saved." "$(visit -b "$dir/jar" "$url/?saved" &&
    sed -n 's/.*<p role="status">\([^<]*\)<.*/ \1/p' "$dir/out" | tr -d '\n')"
visit -b "$dir/jar" "$url/" >"$dir/status"
grep -q '&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt; &amp; &#39;two&#39; lines' "$dir/out" &&
    grep -q $'^of it + \xc3\xbc</textarea>' "$dir/out" && ! grep -q '<script' "$dir/out"
ok "and shown, but not obeyed"
worst=$(head -c 499 /dev/zero | tr '\0' '"')
is "a long one of the worst characters" "303 /?saved" \
    "$(visit -b "$dir/jar" --data-urlencode "note=$worst" "$url/")"
is "is shown as well" 200 "$(visit -b "$dir/jar" "$url/")"
is "whole" 499 "$(grep -o '&quot;' "$dir/out" | wc -l | tr -d ' ')"
is "a longer one is refused" 400 \
    "$(visit -b "$dir/jar" --data-urlencode "note=$worst\"" "$url/")"
is "and so is a form without one" 400 "$(visit -b "$dir/jar" -d 'other=1' "$url/")"
is "nobody else saves anything" "303 /login" "$(visit -d 'note=x' "$url/")"
is "a form larger than any is refused" 413 \
    "$(visit -b "$dir/jar" -d "note=$(head -c 9000 /dev/zero | tr '\0' x)" "$url/")"

is "a second sign-in" "303 /" "$(sign_in jar2)"
[ "$first" != "$(head_of Set-Cookie)" ]
ok "is another session"
visit -b "$dir/jar2" "$url/" >"$dir/status"
grep -q '"5"></textarea>' "$dir/out"
ok "with a note of its own"
is "a link does not sign out" 405 "$(visit -b "$dir/jar" "$url/logout")"
is "but says how" "POST" "$(head_of Allow)"
is "signing out" "303 /login" "$(visit -b "$dir/jar" -c "$dir/jar" -X POST "$url/logout")"
is "deletes the cookie" "session=; Path=/; Max-Age=0" \
    "$(head_of Set-Cookie | grep -o '^session=; Path=/; Max-Age=0')"
is "and a copy of it is of no use" "303 /login" "$(visit -b "${first%%;*}" "$url/")"
is "the other session goes on" 200 "$(visit -b "$dir/jar2" "$url/")"
is "there is nothing elsewhere" 404 "$(visit "$url/other")"
is "and no other method" 405 "$(visit -X PUT "$url/")"

sign_in jar >"$dir/status"
for i in $(seq 16); do
    sign_in "jar.$i" >"$dir/status"
done
is "sessions are bounded: the newest is there" 200 "$(visit -b "$dir/jar.16" "$url/")"

end TERM "$started"
is "SIGTERM ends it with status 0" 0 $?
is "without complaints" "" "$(cat "$dir/form.err")"

start form 0
secret=$(sed -n 's/^sign in as admin with \([0-9a-f]\{32\}\)$/\1/p' "$dir/form.out")
is "without a password it makes one up" "303 /" "$(sign_in jar)"
is "it takes no other" "403" "$(visit -d 'user=admin&password=' "$url/login")"
is "an empty password on the command line is refused" "a password has 1 to 127 bytes" \
    "$(timeout 10 "$dir/form" 0 '' 2>&1)"
done_testing
